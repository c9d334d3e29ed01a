//! Which builder a source tree calls for.

use sarsen_domain::{BuilderKind, BuildpackRef};

/// The builder: what the app has selected, else buildpacks when somebody named any, else a Dockerfile when there
/// is one, else buildpacks that find out themselves.
pub fn detect(
    has_dockerfile: impl FnOnce() -> bool,
    selected: Option<BuilderKind>,
    buildpacks: &[BuildpackRef],
) -> BuilderKind {
    if let Some(selected) = selected {
        return selected;
    }
    if buildpacks.is_empty() && has_dockerfile() {
        BuilderKind::Dockerfile
    } else {
        BuilderKind::Herokuish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_then_buildpacks_then_dockerfile_then_buildpacks() {
        let python = [BuildpackRef::parse("heroku/python").unwrap()];
        let cases: [(bool, Option<BuilderKind>, &[BuildpackRef], BuilderKind); 6] = [
            (false, None, &[], BuilderKind::Herokuish),
            (true, None, &[], BuilderKind::Dockerfile),
            (true, None, &python, BuilderKind::Herokuish),
            (
                true,
                Some(BuilderKind::Herokuish),
                &[],
                BuilderKind::Herokuish,
            ),
            (
                false,
                Some(BuilderKind::Dockerfile),
                &python,
                BuilderKind::Dockerfile,
            ),
            (true, Some(BuilderKind::Null), &python, BuilderKind::Null),
        ];
        for (dockerfile, selected, buildpacks, expected) in cases {
            assert_eq!(detect(|| dockerfile, selected, buildpacks), expected);
        }
    }
}
