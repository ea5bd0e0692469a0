"""The drop-ins that guard a unit, as contrib/systemd has them; `portwait unit` fills them in.

The files there have a head of comments in front of this text, and are otherwise the same: a test compares them. The
text is here, and not in files beside the package, because a packed folder carries modules only.
"""

from __future__ import annotations

PROGRAM = "/usr/local/bin/portwait"
"""Where the templates expect portwait."""

PORT = "30010"
"""The port in the templates that are for any unit."""

_NEVER_CURED = """\
# No restart cures these: called wrongly, not executable, not found. Giving up (124, after 75 s) is worth another try.
RestartPreventExitStatus=125 126 127
"""

_NOTIFY = """\
# Lets it say in `systemctl status` what it waits for, and lengthen TimeoutStartSec= while it does. Leave the line out
# where the unit has NotifyAccess=all.
NotifyAccess=exec
"""

_STORE = """\
# One for each port, and those that the service stores itself.
FileDescriptorStoreMax=1
"""

TEMPLATES = {
    "guard-exec.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} {PORT} -- /usr/bin/java -jar /opt/app/app.jar

{_NOTIFY}
{_NEVER_CURED}""",
    "guard-fdstore.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} --fdstore {PORT} -- /usr/bin/java -jar /opt/app/app.jar

{_STORE}
{_NOTIFY}
{_NEVER_CURED}""",
    "guard-listen.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} --listen --fdstore {PORT} -- /usr/bin/gunicorn app:wsgi

{_STORE}
{_NOTIFY}
{_NEVER_CURED}""",
    "guard-pre.conf": f"""\
[Service]
# With `+` it runs as root and outside of User= and the unit's hardening, so it sees whose connection is in the way, and
# could evict it (--evict). The service itself keeps all of its hardening.
ExecStartPre=+{PROGRAM} {PORT}

{_NOTIFY}""",
    "guard-socket.conf": f"""\
[Socket]
ExecStartPre={PROGRAM} {PORT}
""",
    "debian/nginx.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} --fdstore 80 -- /usr/sbin/nginx -g 'daemon on; master_process on;'

{_STORE}
{_NOTIFY}
{_NEVER_CURED}""",
    "debian/redis-server.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} --fdstore 6379 -- /usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no

{_STORE}
{_NOTIFY}
{_NEVER_CURED}
# NoExecPaths=/ forbids every other program: portwait, its folder, and the Python that its first line names are allowed
# again. The service may start them too then; guard-pre.conf needs neither line.
ExecPaths={PROGRAM} /opt/portwait /usr/bin/python3
# The kernel's own interface to its sockets; without it portwait reads /proc/net, and cannot evict.
RestrictAddressFamilies=AF_NETLINK
""",
    "debian/tomcat10.conf": f"""\
[Service]
ExecStart=
ExecStart={PROGRAM} --fdstore 8080 -- /bin/sh /usr/libexec/tomcat10/tomcat-start.sh

{_STORE}
{_NOTIFY}
{_NEVER_CURED}""",
}
