#!/bin/sh
# The first process of a cluster, in namespaces of its own (mount, network, process, host name): prepares them, says "up", and holds
# them until whoever started it has ended or closes its standard input. With it ends every process of the cluster.
set -e
folder=$1
hostname node1
mount --make-rshared /

# What containerd, CNI and kubelet write outside of the folder goes to throw-away memory that this mount namespace alone sees.
for path in /run/netns /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers /usr/libexec/kubernetes; do
  mkdir -p $path
  mount -t tmpfs tmpfs $path
done

# Plugins of the network are where installers look for them.
for pair in cni:/etc/cni/net.d cni-bin:/opt/cni/bin; do
  mkdir -p "$folder/node1/${pair%%:*}" "${pair#*:}"
  mount --bind "$folder/node1/${pair%%:*}" "${pair#*:}"
done

# kubelet sets these for the kernel at large: it gets copies to write to.
mkdir -p "$folder/sysctl"
for name in kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  copy=$folder/sysctl/$(basename $name)
  cat /proc/sys/$name >"$copy"
  mount --bind "$copy" /proc/sys/$name
done

# Nodes meet on this bridge. The routes lead nowhere, but services' addresses need one to be translated.
ip link set lo up
ip link add node0 type bridge
ip addr add 10.77.0.1/24 dev node0
ip -6 addr add fd77::1/64 dev node0 nodad
ip link set node0 up
ip route add default via 10.77.0.254 dev node0
ip -6 route add default via fd77::fe dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding

echo up
cat >/dev/null
exit 0
