# shellcheck shell=bash
# Shared by /start and /exec: what every process of an app finds around it.

APP_DIR=/app

# Runs the app's own start-up files in this shell, so that what they export stays.
load_profile() {
  export HOME=$APP_DIR
  cd "$APP_DIR" || exit 1
  local script
  for script in "$APP_DIR"/.profile.d/*.sh "$APP_DIR"/.profile; do
    # shellcheck source=/dev/null
    if [[ -r $script && -f $script ]]; then source "$script"; fi
  done
  set +eu
  cd "$APP_DIR" || exit 1
}

# procfile_command FILE TYPE: prints the command of that line of a Procfile.
procfile_command() {
  local line
  [[ -f $1 ]] || return 1
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    if [[ $line =~ ^([A-Za-z0-9_-]+):[[:space:]]*(.*[^[:space:]])[[:space:]]*$ && ${BASH_REMATCH[1]} == "$2" ]]; then
      printf '%s' "${BASH_REMATCH[2]}"
      return 0
    fi
  done <"$1"
  return 1
}

# release_command FILE TYPE: the same from default_process_types of a .release file.
release_command() {
  local line inside=false value
  [[ -f $1 ]] || return 1
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^[^[:space:]#-] ]]; then
      if [[ $line == default_process_types:* ]]; then inside=true; else inside=false; fi
    elif [[ $inside == true && $line =~ ^[[:space:]]+([A-Za-z0-9_-]+):[[:space:]]+(.*)$ && ${BASH_REMATCH[1]} == "$2" ]]; then
      value=${BASH_REMATCH[2]}
      case $value in
        \"*\") printf '%s' "$value" | jq -rj . ;;
        \'*\') value=${value:1:-1} && printf '%s' "${value//\'\'/\'}" ;;
        *) printf '%s' "$value" ;;
      esac
      return 0
    fi
  done <"$1"
  return 1
}

# Names of the types of a Procfile, one a line.
procfile_types() {
  if [[ -f $1 ]]; then sed -nE 's/^([A-Za-z0-9_-]+):[[:space:]]*[^[:space:]].*$/\1/p' "$1"; fi
}

command_of() {
  procfile_command "$APP_DIR/Procfile" "$1" || release_command "$APP_DIR/.release" "$1"
}
