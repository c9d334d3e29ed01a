//! `completion`: what shells are told about the command table.

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{self, Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[verb!(
    "completion",
    "<shell>",
    Read,
    "Prints the completion script for bash, zsh or fish",
    completion
)];

async fn completion(_: &Control, call: &mut Call) -> Outcome {
    let script = match call.args.get(0).unwrap_or_default() {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        other => {
            return Err(Failure::new(format!(
                "No completion for '{}': use bash, zsh or fish",
                other.escape_debug()
            )));
        }
    };
    call.out.bytes(script.as_bytes()).await
}

/// Names people type; what git says over ssh is not among them.
fn names() -> Vec<&'static Command> {
    let mut commands: Vec<_> = table::commands()
        .filter(|command| !command.name.starts_with("git-"))
        .collect();
    commands.sort_by_key(|command| command.name);
    commands
}

/// Commands whose first word is an app, as a pattern for a shell's `case`.
fn takes_app(separator: &str) -> String {
    let takes = |command: &&&Command| {
        let words = command.usage.split(' ').find(|word| word.contains('<'));
        words.is_some_and(|word| word.contains("<app>"))
    };
    let names = names();
    let names: Vec<_> = names
        .iter()
        .filter(takes)
        .map(|command| command.name)
        .collect();
    names.join(separator)
}

fn bash() -> String {
    let names: Vec<_> = names().iter().map(|command| command.name).collect();
    format!(
        r#"# Completion for bash: eval "$(sarsen completion bash)"
_sarsen() {{
  local word=${{COMP_LINE:0:COMP_POINT}} ; word=${{word##* }}
  local before=() part ; read -ra before <<< "${{COMP_LINE:0:COMP_POINT-${{#word}}}}"
  local list command=
  for part in "${{before[@]:1}}"; do case $part in -*) ;; *) command=$part; break ;; esac; done
  case $command in
    '') list='{}' ;;
    {}) list=$(command "${{before[0]}}" --quiet apps:list 2>/dev/null) ;;
  esac
  COMPREPLY=($(compgen -W "$list" -- "$word"))
  # A colon ends a word for bash: it expects only what comes after the last one.
  [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && COMPREPLY=("${{COMPREPLY[@]#${{word%:*}}:}}")
}}
complete -F _sarsen sarsen dokku
"#,
        names.join(" "),
        takes_app("|")
    )
}

fn zsh() -> String {
    let each = |command: &&Command| {
        let name = command.name.replace(':', "\\:");
        format!("    '{name}:{}'\n", command.help.replace('\'', "'\\''"))
    };
    let lines: String = names().iter().map(each).collect();
    format!(
        r#"#compdef sarsen dokku
# Completion for zsh: source <(sarsen completion zsh)
_sarsen() {{
  local -a commands apps
  commands=(
{lines}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
    {})
      apps=(${{(f)"$(command $words[1] --quiet apps:list 2>/dev/null)"}})
      _describe app apps ;;
  esac
}}
compdef _sarsen sarsen dokku
"#,
        takes_app("|")
    )
}

fn fish() -> String {
    let mut script = String::from("# Completion for fish: sarsen completion fish | source\n");
    for program in ["sarsen", "dokku"] {
        script.push_str(&format!("complete -c {program} -f\n"));
        for command in names() {
            script.push_str(&format!(
                "complete -c {program} -n __fish_use_subcommand -a '{}' -d '{}'\n",
                command.name,
                command.help.replace('\'', "\\'")
            ));
        }
        script.push_str(&format!(
            "complete -c {program} -n '__fish_seen_subcommand_from {}' -a '({program} --quiet apps:list 2>/dev/null)'\n",
            takes_app(" ")
        ));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for (script, escaped) in [
            (bash(), "apps:create"),
            (zsh(), "apps\\:create"),
            (fish(), "apps:create"),
        ] {
            assert!(script.contains(escaped), "{script}");
            assert!(!script.contains("git-receive-pack"));
        }
        assert!(takes_app("|").contains("ps:report"));
        assert!(!takes_app("|").contains("apps:list"));
    }
}
