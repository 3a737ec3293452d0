"""The Littlest JupyterHub: put this into /opt/tljh/config/jupyterhub_config.d/, then reload the hub.

It gives everyone nbgrader's exchange and its settings; accounts, passwords and TLS stay with The
Littlest JupyterHub. Not tested there: see the book's page for instructors. The book lies in
/opt/book, nbgrader and what ``requirements.txt`` names in the environment of the users.
"""

from pathlib import Path

BOOK = Path("/opt/book")
EXCHANGE = Path("/srv/nbgrader/exchange")

EXCHANGE.mkdir(parents=True, exist_ok=True)
EXCHANGE.chmod(0o777)  # nbgrader wants it: everyone hands in here, and nobody lists another's work

c = get_config()  # noqa: F821
c.Spawner.environment |= {
    "JUPYTER_CONFIG_PATH": str(BOOK / "notebooks" / "coursework" / "hub" / "shared"),
    "NBGRADER_EXCHANGE": str(EXCHANGE),
}
