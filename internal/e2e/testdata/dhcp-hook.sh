#!/bin/sh
# What a guest does with a lease. udhcpc says in $1 what happened, dhclient in
# $reason; what nitrod offered comes in variables, named by the client.
set -eu
case ${1-}${reason-} in
bound | renew) ;;
BOUND | RENEW | REBIND | REBOOT)
    ip=$new_ip_address subnet=$new_subnet_mask router=$new_routers mtu=$new_interface_mtu
    ;;
*)
    ip link set "$interface" up
    exit 0
    ;;
esac
ip address replace "$ip/$subnet" dev "$interface"
ip route replace default via "$router" dev "$interface"
ip link set "$interface" mtu "$mtu"
