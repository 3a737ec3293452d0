"""A JupyterHub for a class on one machine, with an account of the system for everyone.

Run it as root: ``jupyterhub -f notebooks/coursework/hub/jupyterhub_config.py``. Students sign in with
the password of their account (PAM). What is tested with it stands on the book's page for
instructors; ``tests/coursework/test_hub.py`` is the test.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXCHANGE = Path(os.environ.get("NBGRADER_EXCHANGE", "/srv/nbgrader/exchange"))
PEOPLE = os.environ.get("HUB_PEOPLE", "").split()  # the accounts that may sign in

EXCHANGE.mkdir(parents=True, exist_ok=True)
EXCHANGE.chmod(0o777)  # nbgrader wants it: everyone hands in here, and nobody lists another's work

c = get_config()  # noqa: F821
c.JupyterHub.bind_url = os.environ.get("HUB_URL", "http://127.0.0.1:8000")
c.JupyterHub.authenticator_class = "pam"
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Authenticator.allowed_users = set(PEOPLE)
c.ConfigurableHTTPProxy.command = [str(Path(sys.prefix) / "bin" / "configurable-http-proxy")]
c.Spawner.cmd = [str(Path(sys.prefix) / "bin" / "jupyterhub-singleuser")]
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(HERE / "shared"),  # nbgrader's settings for everyone
    "NBGRADER_EXCHANGE": str(EXCHANGE),
}
