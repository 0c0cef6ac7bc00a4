#!/bin/bash
# Scheduler and two workers, each in a network namespace of its own, joined by a bridge; the client outside. Runs a recipe
# on INPUT there and locally and compares all files but those that hold times. Needs root (ip netns).
#     bash benchmarks/cluster_namespaces.sh INPUT OUT [mediseg run's further arguments]
set -eu
input=$1 out=$2
shift 2
ended() {
  for p in $(jobs -p); do kill "$p" 2>/dev/null || true; done
  for n in scheduler one two; do ip netns del "mediseg-$n" 2>/dev/null || true; done
  ip link del mediseg-br 2>/dev/null || true
}
trap ended EXIT
ip link add mediseg-br type bridge
ip addr add 10.77.0.1/24 dev mediseg-br
ip link set mediseg-br up
number=2
for n in scheduler one two; do
  ip netns add "mediseg-$n"
  ip link add "ms-$n" type veth peer name eth0 netns "mediseg-$n"
  ip link set "ms-$n" master mediseg-br up
  ip -n "mediseg-$n" addr add "10.77.0.$number/24" dev eth0
  ip -n "mediseg-$n" link set eth0 up
  ip -n "mediseg-$n" link set lo up
  number=$((number + 1))
done
mkdir -p "$out"
address=tcp://10.77.0.2:8786
ip netns exec mediseg-scheduler python -m distributed.cli.dask_scheduler --host 10.77.0.2 --port 8786 --no-dashboard \
  >"$out/scheduler.log" 2>&1 &
for n in one two; do
  ip netns exec "mediseg-$n" python -m distributed.cli.dask_worker "$address" --nthreads 1 --no-dashboard \
    --memory-limit 0 --local-directory "$out/dask-$n" >"$out/worker-$n.log" 2>&1 &
done
for _ in $(seq 120); do
  [ "$(grep -c 'Registered to' "$out/worker-one.log" "$out/worker-two.log" 2>/dev/null | grep -c ':1')" = 2 ] && break
  sleep 1
done
python -m mediseg run bias "$input" --out "$out/dask" --executor dask --scheduler "$address" "$@"
python -m mediseg run bias "$input" --out "$out/local" "$@"
cd "$out"
sums() { (cd "$1" && find . -type f ! -name 'report.*' ! -name 'index.*' -exec sha256sum {} + | sort); }
sums dask >dask.sums
sums local >local.sums
cmp dask.sums local.sums && echo "$(wc -l <dask.sums) files, the same bytes"
