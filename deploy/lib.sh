# Sourced by the scripts of this folder: how they talk, and what they need of the machine.
# shellcheck shell=bash

step() { printf -- '-----> %s\n' "$*"; }
note() { printf '       %s\n' "$*"; }
die() {
  printf ' !     %s\n' "$@" >&2
  exit 1
}

need_root() {
  if ((EUID != 0)); then die "$(basename "$0") starts Docker and installs packages: run it as root"; fi
}

# need_packages PACKAGE...: installs those that are missing.
need_packages() {
  local package missing=()
  for package in "$@"; do
    # The machine may have a program from elsewhere than its package.
    case $package in
      docker.io) if command -v dockerd >/dev/null && command -v docker >/dev/null; then continue; fi ;;
      git | curl | gcc | make | iptables | mmdebstrap | zstd | shellcheck | perl | python3) if command -v "$package" >/dev/null; then continue; fi ;;
      openssh-client) if command -v ssh-keygen >/dev/null; then continue; fi ;;
      pkg-config) if command -v pkg-config >/dev/null; then continue; fi ;;
    esac
    if dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then continue; fi
    missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then return; fi
  command -v apt-get >/dev/null || die "Please install ${missing[*]}: this machine has no apt-get to do it with"
  step "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install ${missing[*]}"
  fi
  rm -f "$log"
}

# need_rust: finds cargo, also where rustup puts it.
need_rust() {
  if ! command -v cargo >/dev/null && [[ -x ${HOME:-/root}/.cargo/bin/cargo ]]; then
    PATH=${HOME:-/root}/.cargo/bin:$PATH
  fi
  command -v cargo >/dev/null || die 'There is no Rust here: install it (https://rustup.rs) and run this again'
}

# from_bullseye FOLDER PACKAGE: unpacks a package of Debian 11 into a folder: nothing of that release enters the system.
from_bullseye() {
  local folder=$1 package=$2 work mirror options
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/archives/partial" "$folder"
  mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} bullseye main" >"$work/sources.list"
  options=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists"
    -o Dir::Cache::Archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
  if ! { apt-get "${options[@]}" update && (cd "$work" && apt-get "${options[@]}" download "$package" && dpkg -x "${package}"_*.deb "$folder"); } >"$work/log" 2>&1 </dev/null; then
    tail -n 20 "$work/log" >&2
    rm -rf "$work"
    die "apt-get could not fetch $package of Debian 11"
  fi
  rm -rf "$work"
}

# need_consul: finds Consul, or unpacks that of Debian 11, the last that has it, into SARSEN_CACHE_DIR.
need_consul() {
  local cache=${SARSEN_CACHE_DIR:-/var/cache/sarsen}/consul
  PATH=$PATH:$cache/usr/bin
  if command -v consul >/dev/null; then return; fi
  step 'Unpacking Consul of Debian 11'
  from_bullseye "$cache" consul
}

# need_moto: finds moto, an S3 server for tests, or installs it into SARSEN_CACHE_DIR. Where that fails, tests that want it
# say that they were skipped.
need_moto() {
  local cache=${SARSEN_CACHE_DIR:-/var/cache/sarsen}/moto
  if command -v moto_server >/dev/null; then return; fi
  export SARSEN_MOTO_SERVER=$cache/bin/moto_server
  if [[ -x $SARSEN_MOTO_SERVER ]]; then return; fi
  need_packages python3-venv
  step 'Installing moto'
  rm -rf "$cache"
  if ! { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet 'moto[s3,server]==5.2.5'; } >/dev/null 2>&1 </dev/null; then
    rm -rf "$cache"
    note 'pip could not install it'
  fi
}

docker_answers() { timeout 20 docker info >/dev/null 2>&1; }

# need_docker PIDFILE: starts the engine when nobody answers. When it was started as a process of ours, and not as a
# service, its number goes to PIDFILE.
need_docker() {
  need_packages docker.io iptables
  if docker_answers; then return; fi
  if [[ -d /run/systemd/system ]]; then
    step 'Starting Docker'
    systemctl enable --now docker >/dev/null 2>&1 || true
  else
    step 'Starting Docker (log: /var/log/sarsen-dockerd.log)'
    # A file left by a crash stops the engine when another process has its number now.
    local old
    old=$(cat /var/run/docker.pid 2>/dev/null || true)
    if [[ -n $old && $(cat "/proc/$old/comm" 2>/dev/null || true) != dockerd ]]; then rm -f /var/run/docker.pid; fi
    setsid dockerd </dev/null >>/var/log/sarsen-dockerd.log 2>&1 &
    echo $! >"$1"
  fi
  for _ in $(seq 240); do
    if docker_answers; then return; fi
    sleep 0.25
  done
  tail -n 15 /var/log/sarsen-dockerd.log >&2 2>/dev/null || true
  die 'Docker does not answer: see its log'
}

# is_free PORT: nobody on this machine listens there.
is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port PORT...: the first that nobody listens on, then those after the last.
free_port() {
  local port
  for port in "$@"; do
    if is_free "$port"; then printf '%s' "$port"; return; fi
  done
  while ((++port < 32768)); do
    if is_free "$port"; then printf '%s' "$port"; return; fi
  done
  die 'There is no free port'
}
