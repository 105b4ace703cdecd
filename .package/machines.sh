# Machines to try things out on: fresh Debians that boot, in network namespaces of their own. Sourced by try and chapter,
# which set -euo pipefail. Needs root, systemd-nspawn, debootstrap and overlay mounts.

work=$(mktemp -d)
step="start"
declare -A machine # NAME: the process id of systemd-nspawn

# debian PACKAGES makes the system that all machines begin with. $DEBIAN may name one that is there already.
debian() {
  if [ -n "${DEBIAN:-}" ]; then
    ln -s "$(realpath "$DEBIAN")" "$work/debian"
    return
  fi
  step="debootstrap"
  debootstrap --variant=minbase --include="systemd,systemd-sysv,dbus,adduser,bind9-dnsutils,iproute2,$1" bookworm "$work/debian" >"$work/debootstrap.log" 2>&1
}

# boot NAME NETWORK... begins a machine; NETWORK are systemd-nspawn's options for it.
boot() {
  local name=$1 root=$work/$1/root
  shift
  step="boot $name"
  mkdir -p "$root" "$work/$name/upper" "$work/$name/own"
  mount -t overlay overlay -o "lowerdir=$work/debian,upperdir=$work/$name/upper,workdir=$work/$name/own" "$root"
  echo "$name" >"$root/etc/hostname"
  systemd-nspawn -D "$root" -M "$name" --register=no --keep-unit "$@" -b >"$work/$name.log" 2>&1 </dev/null &
  machine[$name]=$!
  until [ -n "$(leader "$name")" ]; do kill -0 "${machine[$name]}"; done
  # Its PID 1 takes commands once its bus is there.
  until inside "$name" systemctl is-system-running --wait >/dev/null 2>&1 || inside "$name" systemctl is-active -q multi-user.target 2>/dev/null; do
    kill -0 "${machine[$name]}"
  done
}

leader() { pgrep -P "${machine[$1]}" 2>/dev/null | head -1; }

# inside NAME COMMAND... runs as root on a machine.
inside() {
  local pid
  pid=$(leader "$1")
  shift
  nsenter -a -t "$pid" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

end() {
  local status=$? name
  if [ $status -ne 0 ]; then
    echo "FAIL at: $step"
    case $step in debootstrap* | boot*) tail -n 20 "$work"/*.log 2>/dev/null || true ;; esac
  fi
  for name in "${!machine[@]}"; do
    kill "${machine[$name]}" 2>/dev/null || true
    wait "${machine[$name]}" 2>/dev/null || true
    umount -R "$work/$name/root" 2>/dev/null || true
  done
  if [ "$(type -t tidy)" = function ]; then tidy; fi
  rm -rf --one-file-system "$work"
}
trap end EXIT
