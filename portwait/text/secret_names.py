"""The names, options and forms that secrets have in the command lines of real programs: tables, and tests of names.

`masking` and `secret_words` use them. A name that is listed for nothing costs a readable value; a name that is missing
shows a password.
"""

from __future__ import annotations

MASK = "***"

_PARTS = (
    *("pass", "pwd", "secret", "token", "credential", "auth", "cookie", "signature", "bearer", "hmac", "mnemonic"),
    *("apikey", "accesskey", "privatekey", "secretkey", "encryptionkey", "sharedkey", "wrapperkey", "sonarlogin"),
    *("sessionid", "sessid", "fromliteral", "userinfo", "connectionstring"),
)
"""A name that contains one of these is a secret's name, wherever it stands in the name."""
_ENDINGS = ("pw", "key", "sig", "jwt", "psk", "creds", "dsn", "otp")
"""So is a name, or a part of one between dots, dashes and underscores, that ends in one of these."""
_WHOLE = frozenset(("pin", "pas", "pswd"))
"""And a part that is exactly one of these."""
_ABOUT_FILES = ("file", "path", "dir", "prompt", "stdin", "filename")
"""`--password-file X` says where the secret is, not what it is."""

USERS = frozenset(("u", "user", "username", "userpwd", "login", "proxyuser", "userid", "uid", "useraccount"))
"""Names whose value is a user, or a user and a password: `user:S`, `user%S`."""

BARE = frozenset(("password", "passwd", "passphrase", "passcode", "bearer", "key", "authtoken", "login-token"))
"""Words that announce a secret without a dash and without a sign: `nmcli ... password S`, `Authorization Bearer S`."""

BARE_ENDINGS = ("password", "passwd", "_pw", "token", "secret", "_key", "-key", ".key", "psk")
"""Endings of such words: `aws_secret_access_key S`, `user_pw S`, `npmAuthToken S`."""
_SCHEMES = ("bearer", "basic", "digest", "negotiate")
VERBS = frozenset(("token", "secret"))
"""Words with such an ending that are subcommands: `kubectl get secret db`."""

_WITH_GLUED_P: tuple[str, ...] = (
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlbinlog",
    "mysqlcheck",
    "mysqlimport",
    "mysqlshow",
)
_WITH_GLUED_P += ("mysqlslap", "mysqlpump", "mysqlsh", "mysql_upgrade", "mariadb", "mariadb-dump", "mariadb-admin")
_WITH_GLUED_P += ("mariadb-check", "mariadb-import", "mariabackup", "xtrabackup", "innobackupex", "7z", "7za", "7zr")
_MONGO = ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport", "mongostat", "mongotop")
_LDAP = ("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldapcompare", "ldapmodrdn", "ldapexop")
_SNMP = ("snmpget", "snmpset", "snmpwalk", "snmpbulkwalk", "snmpgetnext", "snmptable", "snmptrap", "snmpstatus")
_ENGINES = ("docker", "podman", "nerdctl", "buildah", "skopeo", "crane", "oras", "helm", "oc", "az", "regctl")
_WITH_P: tuple[str, ...] = (
    "sshpass",
    "cqlsh",
    "beeline",
    "mycli",
    "mydumper",
    "myloader",
    "rabbitmqadmin",
    "rdesktop",
    "steghide",
)
_WITH_P += ("racadm", "ipmipower", "ipmi-sensors", "hydra", "veracrypt", "smbmap", "crackmapexec", "netexec", "ncftp")
_WITH_P += ("ncftpget", "ncftpput", "twine", "youtube-dl", "yt-dlp", "gallery-dl", "useradd", "usermod", "xmrig")
_WITH_P += (
    "ccminer",
    "cpuminer",
    "minerd",
    "brook",
    "vncdo",
    "vncdotool",
    "conan",
    "ipa-server-install",
    "nxc",
    "tdsql",
)
_WITH_A = ("redis-cli", "redis-benchmark", "valkey-cli", "valkey-benchmark", "keydb-cli", "http", "https", "xh")
_WITH_CAPITAL_P: tuple[str, ...] = (
    "mosquitto_pub",
    "mosquitto_sub",
    "mosquitto_rr",
    "sqlcmd",
    "osql",
    "bcp",
    "tsql",
    "ipmitool",
    "zip",
)
_WITH_CAPITAL_P += ("unzip", "zipcloak", "microsocks", "iodine", "iodined")
_PUTTY = ("plink", "pscp", "psftp", "putty", "plink.exe", "pscp.exe", "nodetool", "influx", "jmxterm")
_FREERDP = ("xfreerdp", "xfreerdp3", "wlfreerdp", "sdl-freerdp", "wfreerdp")
_SHADOWSOCKS = ("ss-server", "ss-local", "ss-redir", "ss-tunnel", "ss-manager", "sslocal", "ssserver", "ssmanager")
_TUNNELS = ("udp2raw", "udp2raw_amd64", "speederv2", "speederv2_amd64", "tinyvpn", "edge", "dns2tcpc")
_HASHICORP = ("consul", "nomad", "serf")
_SAMBA = ("smbclient", "rpcclient", "net", "winexe", "wmic", "smbget", "smbcacls", "smbpasswd", "samba-tool")

NEXT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_WITH_P, ("-p",)),
    **dict.fromkeys(_WITH_A, ("-a",)),
    **dict.fromkeys(_WITH_CAPITAL_P, ("-P",)),
    **dict.fromkeys(_MONGO, ("-p",)),
    **dict.fromkeys(_LDAP, ("-w",)),
    **dict.fromkeys(_SNMP, ("-c", "-A", "-X")),
    **dict.fromkeys(_PUTTY, ("-pw", "-t")),
    **dict.fromkeys(_FREERDP, ("/p:", "/gp:")),
    **dict.fromkeys((*_SHADOWSOCKS, *_TUNNELS), ("-k",)),
    **dict.fromkeys(_HASHICORP, ("-encrypt", "-encrypt=", "--encrypt", "--encrypt=")),
    **dict.fromkeys(_SAMBA, ("-U",)),
    **{f"{engine} login": ("-p",) for engine in _ENGINES},
    "poetry publish": ("-p",),
    "ldappasswd": ("-w", "-a", "-s"),
    "ipa-client-install": ("-w",),
    "ipa-server-install": ("-p", "-a"),
    "ipmitool": ("-P", "-k", "-y"),
    "curl": ("-u", "-U", "-b", "-E", "--user", "--proxy-user", "--cert", "--proxy-cert"),
    "wget2": ("--http-proxy-user",),
    "lftp": ("-u",),
    "openssl": ("-k", "-K", "-pass", "-passin", "-passout", "-hmac"),
    "rar": ("-p", "-hp"),
    "unrar": ("-p",),
    "isql": ("-P", "-pas", "-p"),
    "isql-fb": ("-pas", "-p"),
    "gbak": ("-pas",),
    "gfix": ("-pas",),
    "vsql": ("-w",),
    "db2": ("using",),
    "dbaccess": ("using",),
    "rancher login": ("-t",),
    "doctl": ("-t",),
    "k3s": ("-t",),
    "frpc": ("-t",),
    "frps": ("-t",),
    "conda": ("-t",),
    "anaconda": ("-t",),
    "ttyd": ("-c",),
    "gotty": ("-c",),
    "dufs": ("-a",),
    "miniserve": ("-a",),
    "transmission-remote": ("-n",),
    "transmission-daemon": ("-v",),
    "turnserver": ("-u",),
    "minerd": ("-p", "-O"),
    "sipp": ("-ap",),
    "iwconfig": ("key", "enc"),
    "vncpasswd": ("-f",),
    "qemu-system-x86_64": ("secret,",),
    "qemu-system-aarch64": ("secret,",),
    "qemu-img": ("secret,",),
    "kvm": ("secret,",),
}
"""By program, or by program and a later word: what the secret follows, as the next word or glued to a short option.

One that ends in a sign is the beginning of the word that has the secret.
"""
CLUSTERS = {"curl": "uUbE"}
"""Programs that take short options in one word, `curl -sSu user:S`, and the last ones that a secret follows."""

GLUED = dict.fromkeys(_WITH_GLUED_P, ("-p",))
"""Programs where the secret is only ever in the same word: with `mysql -p db` the password is asked for."""

POSITIONAL = frozenset(
    (
        *("htpasswd", "htdigest", "mosquitto_passwd", "wpa_passphrase", "sqlplus", "rman", "exp", "imp", "expdp"),
        *("impdp", "sqlldr", "snmpusm", "chpasswd", "smbpasswd", "vncpasswd", "isql", "iusql"),
        *("rabbitmqctl add_user", "rabbitmqctl change_password", "rabbitmqctl authenticate_user"),
        *("vault login", "vault unseal", "vault unwrap", "cargo login", "rclone obscure", "openssl passwd"),
        *("ansible-vault encrypt_string", "mc set", "mc add", "cloudflared install", "composer config"),
        *("flyctl set", "fly set", "heroku config:set", "caddy hash-password", "redis-cli auth", "redis-cli AUTH"),
        *("bundle config", "poetry config", "npm set", "smbclient", "net use", "net user", "mc mb", "pass insert"),
    )
)
"""Programs, or a program and a later word, after which any word without a dash can be the secret."""

USER_ALONE = frozenset(
    (
        *("ssh", "sftp", "scp", "git+ssh", "svn+ssh", "ssh+git", "rsync", "smb", "cifs", "ldap", "ldaps", "qemu+ssh"),
        *("postgres", "postgresql", "mysql", "mysql2", "mariadb", "mongodb", "mongodb+srv", "oracle", "sqlserver"),
    )
)
"""Schemes of URLs where a name before `@` without a password is only a user; elsewhere it can be a token."""

SHAPES = (
    r"(?<![A-Za-z0-9])(?:gh[oprsu]_\w{16,}|github_pat_\w{16,}|gl(?:pat|dt|rt|soat|ptt|agent)-[\w\-]{16,}"
    r"|xox[abeprs]-[\w\-]{10,}|xapp-[\w\-]{10,}|sk-[\w\-]{20,}|[sr]k_(?:live|test)_\w{10,}|whsec_\w{16,}"
    r"|A[KS]IA[0-9A-Z]{16}|eyJ[\w\-]{8,}\.[\w\-.]+|hf_\w{20,}|npm_\w{30,}|pypi-[\w\-]{30,}|dckr_pat_[\w\-]{20,}"
    r"|SG\.[\w\-]{16,}\.[\w\-]+|AIza[\w\-]{30,}|ya29\.[\w\-]{20,}|glsa_\w{20,}|glc_[\w=]{20,}|hv[sbr]\.[\w\-]{20,}"
    r"|do[opr]_v1_\w{20,}|shp(?:at|ca|pa|ss)_\w{20,}|AGE-SECRET-KEY-1\w+|tskey-[\w\-]{10,}|dp\.[a-z]+\.\w{20,}"
    r"|lin_api_\w{20,}|sq0[a-z]{3}-[\w\-]{20,}|PMAK-[\w\-]{20,}|dapi[0-9a-f]{32}|NRAK-\w{20,}"
    r"|[0-9]{8,10}:AA[\w\-]{30,}|\$(?:[0-9][a-z]?|y|argon2\w*|apr1)\$[\w./+=$,]{16,})"
    r"|(?<=hooks\.slack\.com/services/)[\w/]+|(?<=discord\.com/api/webhooks/)[\w/\-]+"
    r"|(?<=\.webhook\.office\.com/webhookb2/)\S+|-----BEGIN[^-]*PRIVATE KEY-----[\s\S]*"
)
"""Tokens whose form shows what they are: of GitHub, GitLab, Slack, Stripe, AWS, Google, Vault; signed JSON; hashes."""

SHAPE_MARKS = (
    *("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "_pat_", "glpat-", "gldt-", "glrt-", "glsoat-", "glptt-", "glagent-"),
    *("xox", "xapp-", "sk-", "k_live_", "k_test_", "whsec_", "AKIA", "ASIA", "eyJ", "hf_", "npm_", "pypi-", "SG."),
    *("AIza", "ya29.", "glsa_", "glc_", "hvs.", "hvb.", "hvr.", "_v1_", "shpat_", "shpca_", "shppa_", "shpss_"),
    *("AGE-SECRET-KEY-1", "tskey-", "dp.", "lin_api_", "sq0", "PMAK-", "dapi", "NRAK-", ":AA", "$"),
    *("hooks.slack.com", "discord.com/api", "webhook.office.com", "-----BEGIN"),
)
"""Each word with a token of SHAPES contains one of these."""


def is_secret(name: str) -> bool:
    """Whether a name of an option, a variable, a header or a property is a secret's: `--db-password`, `API_KEY`."""
    lower = name.lower()
    plain = lower.replace("-", "").replace("_", "").replace(".", "")
    if plain.endswith(_ABOUT_FILES):
        return False
    if plain.endswith(_ENDINGS) or any(part in plain for part in _PARTS):
        return True
    parts = lower.replace("-", ".").replace("_", ".").split(".")
    return any(part.endswith(_ENDINGS) or part in _WHOLE for part in parts)


def may_name_secret(word: str) -> bool:
    """Whether a name in a word can be a secret's, or a user's: without looking where the names are."""
    plain = word.lower().replace("-", "").replace("_", "").replace(".", "")
    if any(part in plain for part in (*_PARTS, *_ENDINGS, *_WHOLE)):
        return True
    if "=" not in word or ":" not in word:
        return False
    return any(name.rstrip("\\\"']:").endswith(tuple(USERS)) for name in plain.split("="))


def program_of(word: str) -> str:
    """Name the program that a word may start, without its folder: `sshpass`, `ProxyCommand=sshpass`, `$(sshpass`.

    The value of an option, `--format=zip`, is none, but for ssh's -o.
    """
    name = word.replace("\\", "/").rpartition("/")[2]
    for sign in "=(`" if word[:1] != "-" or word[:2] == "-o" else "":
        name = name.rpartition(sign)[2]
    return name


def programs() -> tuple[set[str], set[str]]:
    """Name the programs that take secrets in a way of their own, and those of them of which a later word matters."""
    if not _PROGRAMS[0]:
        for key in (*NEXT, *GLUED, *POSITIONAL):
            program, space, _ = key.partition(" ")
            _PROGRAMS[0].add(program)
            if space:
                _PROGRAMS[1].add(program)
    return _PROGRAMS


_PROGRAMS: tuple[set[str], set[str]] = (set(), set())


def announces(word: str, before: str) -> bool:
    """Whether the next word is a secret: `--password X`, `Authorization: X`, `Bearer X`; not `--no-password`."""
    lower = word.lower()
    if lower in BARE or lower in _SCHEMES or (lower == "by" and before.lower() == "identified"):
        return True
    if word.startswith("--no-") or " " in word:
        return False
    name = word.rstrip("=:")
    if not name.startswith("-") and name == word:  # `aws_secret_access_key X`, `wifi-sec.psk X`; not a file's name
        last = lower.rpartition(":")[2]
        return "/" not in last and last.endswith(BARE_ENDINGS) and last not in VERBS
    return "=" not in name and is_secret(name.rpartition("/:")[2])
