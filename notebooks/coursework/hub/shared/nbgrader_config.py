"""nbgrader's settings for everyone on the hub: where the exchange is, and which course it serves."""

import os

c = get_config()  # noqa: F821
c.Exchange.root = os.environ.get("NBGRADER_EXCHANGE", "/srv/nbgrader/exchange")
c.CourseDirectory.course_id = "nlpmeta"
