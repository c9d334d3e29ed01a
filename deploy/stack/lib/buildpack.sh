# shellcheck shell=bash
# Helpers of the bundled buildpacks.

topic() { printf -- '-----> %s\n' "$*"; }
note() { printf '       %s\n' "$*"; }
warning() { printf ' !     %s\n' "$@"; }
fail() { warning "$@"; exit 1; }
indent() { sed -u 's/^/       /'; }

# run CMD...: with its output indented; fails as it does.
run() { "$@" 2>&1 | indent; return "${PIPESTATUS[0]}"; }

# Config vars a build tool may read, except those that would bend the build itself.
export_config_vars() {
  local file name value
  for file in "$1"/*; do
    name=${file##*/}
    if [[ ! -f $file || ! $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then continue; fi
    case $name in
      PATH | HOME | PWD | SHELL | IFS | ENV | UID | EUID | PPID | STACK | PORT | BASH* | SHELLOPTS | GIT_DIR | LD_* | LIBRARY_PATH | CPATH | CPPATH) continue ;;
      PYTHONHOME | PYTHONPATH | GOROOT | GOPATH | UV_CACHE_DIR | *_BUILD_DIR) continue ;;
    esac
    IFS= read -r -d '' value <"$file" || true
    export "$name=$value"
  done
}

# config_var ENV_DIR NAME: prints one config var, nothing when it is not set.
config_var() { if [[ -f $1/$2 ]]; then cat "$1/$2"; fi; }

# say_cache DIR: whether this build starts with what the last one fetched.
say_cache() { if [[ -d $1 && -n $(ls -A "$1") ]]; then note 'Using cached packages'; fi; }
