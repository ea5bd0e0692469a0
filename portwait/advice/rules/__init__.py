"""The rules, one module for each subject. `RULES` lists them in the order in which their advice is printed."""

from __future__ import annotations

from portwait.advice.rules import (
    address,
    bound,
    evict,
    inherited,
    kernel_sockets,
    leftovers,
    listener,
    outbound,
    permission,
    visibility,
)
from portwait.advice.tanuki import rules as tanuki

RULES = (
    inherited.inherited_socket,
    inherited.inherited_hold,
    leftovers.wait,
    evict.evict,
    tanuki.use_pipe,
    tanuki.move_ports,
    kernel_sockets.kernel_rpc,
    kernel_sockets.bindresvport,
    kernel_sockets.kernel_tunnel,
    listener.docker_proxy,
    outbound.reserve,
    outbound.reserve_from_outside,
    outbound.narrow_range,
    outbound.other_parity,
    outbound.order_units,
    outbound.fix_self_connect,
    permission.bind_capability,
    permission.unprivileged_ports,
    permission.bind_policy,
    address.look_at_addresses,
    address.switch_ipv6_on,
    address.network_online,
    address.nonlocal_bind,
    leftovers.close_wait,
    leftovers.accepted_leftover,
    listener.socket_unit,
    listener.stop_listener,
    evict.stop_owner,
    bound.bound_only,
    bound.other_guard,
    visibility.look_as_root,
    visibility.look_from_host,
    visibility.share_processes,
)
"""What ends the obstacle and harms nobody, then what lasts, last of all stopping somebody's process."""
