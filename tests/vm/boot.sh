#!/bin/sh
# boot.sh FOLDER NODES PROCESSORS MIB HUGE_PAGES: boots a virtual machine and runs in it what FOLDER/programs lists, a
# line "NAME: COMMAND" each. FOLDER holds the machine's files. Prints one line per program with its count of passed tests,
# and everything that a failed one printed. Fails when one failed or the machine never came to its end.
#
# The machine (qemu, software emulation: no KVM, no privileges) has NODES memory nodes, each with PROCESSORS processors
# and MIB MiB of memory, and HUGE_PAGES reserved pages of 2 MiB. Its kernel is Debian's for virtual machines; see kernel.sh.
set -eu

folder=$1 nodes=$2 processors=$3 mib=$4 huge=$5
limit=${VM_SECONDS:-600} # until a machine that hangs is ended
still=${VM_STILL_SECONDS:-90} # ... and one whose kernel says nothing
here=$(dirname "$0")
kernel=$("$here/kernel.sh")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/init" "$folder/init"
(cd "$folder" && find . | cpio --quiet -o -H newc) >"$work/initrd"

set --
node=0
while [ "$node" -lt "$nodes" ]; do
    set -- "$@" -object "memory-backend-ram,id=m$node,size=${mib}M" \
        -numa "node,nodeid=$node,cpus=$((node * processors))-$(((node + 1) * processors - 1)),memdev=m$node"
    node=$((node + 1))
done
# run_machine ARGUMENT...: runs the machine to its end. Fails when it stands still before its kernel has said a word, as
# emulated firmware now and then does.
run_machine() {
    : >"$work/console"
    timeout "$limit" qemu-system-x86_64 -nographic -no-reboot -nodefaults -serial stdio -cpu max -m "$((mib * nodes))" \
        -smp "$((nodes * processors)),sockets=$nodes,cores=$processors" "$@" -kernel "$kernel" \
        -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 HUGE_PAGES=$huge" \
        </dev/null >"$work/console" 2>&1 &
    machine=$!
    waited=0
    until grep -q '^VM kernel ' "$work/console" || ! kill -0 "$machine" 2>/dev/null; do
        if [ "$waited" -ge "$still" ]; then
            kill "$machine"
            wait "$machine" || true
            return 1
        fi
        sleep 1
        waited=$((waited + 1))
    done
    wait "$machine" || true
}

for attempt in 1 2 3; do
    if run_machine "$@"; then
        break
    fi
    echo "the machine stood still for $still s before its kernel said a word (attempt $attempt)"
done

tr -d '\r' <"$work/console" | sed -n '/^VM kernel /,$p' >"$work/said"
sed -e '/^VM runs /d' -e '/^VM end$/,$d' -e 's/^VM //' "$work/said"
if ! grep -q '^VM end$' "$work/said"; then
    echo "the machine did not come to its end within $limit s; the last that ran was \
$(sed -n 's/^VM runs //p' "$work/said" | tail -n 1)"
    tail -n 5 "$work/console"
    exit 1
fi
! grep -q '^VM FAILED' "$work/said"
