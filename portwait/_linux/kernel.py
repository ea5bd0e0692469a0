"""The kernel's numbers, each under its header's name. The only home of them."""

from __future__ import annotations

# linux/netlink.h
NETLINK_ROUTE = 0
NETLINK_SOCK_DIAG = 4
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
MAX_ERRNO = 4095  # linux/err.h
NLMSG_DONE = 3

# linux/sockios.h, linux/if.h
SIOCGIFFLAGS = 0x8913
IFF_UP = 1

# linux/rtnetlink.h, linux/if_link.h
RTM_NEWLINK = 16
RTM_GETLINK = 18
IFLA_MASTER = 10
IFLA_LINKINFO = 18
IFLA_INFO_KIND = 1
IFLA_INFO_SLAVE_KIND = 4

# linux/sock_diag.h
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21
SKNLGRP_INET_TCP_DESTROY = 1
SKNLGRP_INET_UDP_DESTROY = 2
SKNLGRP_INET6_TCP_DESTROY = 3
SKNLGRP_INET6_UDP_DESTROY = 4

# linux/inet_diag.h
TCPDIAG_GETSOCK = 18
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_INFO = 2
INET_DIAG_TOS = 5
INET_DIAG_TCLASS = 6
INET_DIAG_SKV6ONLY = 11
INET_DIAG_ULP_INFO = 19
INET_DIAG_CGROUP_ID = 21
INET_ULP_INFO_NAME = 1
INET_DIAG_BC_JMP = 1
INET_DIAG_BC_S_GE = 2
INET_DIAG_BC_S_LE = 3
INET_DIAG_NOCOOKIE = 0xFFFFFFFF

# net/tcp_states.h
TCP_ESTABLISHED = 1
TCP_SYN_SENT = 2
TCP_SYN_RECV = 3
TCP_FIN_WAIT1 = 4
TCP_FIN_WAIT2 = 5
TCP_TIME_WAIT = 6
TCP_CLOSE = 7
TCP_CLOSE_WAIT = 8
TCP_LAST_ACK = 9
TCP_LISTEN = 10
TCP_CLOSING = 11
TCP_NEW_SYN_RECV = 12
TCP_BOUND_INACTIVE = 13  # only in a request's mask (commit 91051f003948, Linux 6.8); answers say TCP_CLOSE

STATE_NAMES = {
    TCP_ESTABLISHED: "ESTABLISHED",
    TCP_SYN_SENT: "SYN_SENT",
    TCP_SYN_RECV: "SYN_RECV",
    TCP_FIN_WAIT1: "FIN_WAIT1",
    TCP_FIN_WAIT2: "FIN_WAIT2",
    TCP_TIME_WAIT: "TIME_WAIT",
    TCP_CLOSE: "CLOSE",
    TCP_CLOSE_WAIT: "CLOSE_WAIT",
    TCP_LAST_ACK: "LAST_ACK",
    TCP_LISTEN: "LISTEN",
    TCP_CLOSING: "CLOSING",
    TCP_NEW_SYN_RECV: "SYN_RECV",
}

# the values of idiag_timer in struct inet_diag_msg, see sock_diag(7)
TIMER_TIME_WAIT = 3

# linux/sched.h, of the flags in /proc/PID/stat
PF_KTHREAD = 0x00200000

# asm-generic/socket.h
SO_ATTACH_FILTER = 26
SO_NETNS_COOKIE = 71

# linux/bpf_common.h, linux/filter.h: the classic instructions that the event filter uses
BPF_LDH_ABS = 0x28
BPF_JGE_K = 0x35
BPF_JGT_K = 0x25
BPF_RET_K = 0x06

SIGKILL = 9  # signal(7)
