//! Values that services keep for tasks: parameters and secrets by name, files of variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use core_lifecycle::{Assignment, ContainerSpec, Failure, SecretReference};

use super::life::Life;
use crate::failure;

/// Variables by name.
type Variables = BTreeMap<String, String>;

/// What a provider had for one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Values {
    /// Of its files.
    files: Variables,
    secrets: Variables,
}

impl Life {
    /// What providers have for the containers that name something, by container.
    pub async fn fetch_values(
        &self,
        assignment: &Assignment,
        missing: &[&ContainerSpec],
    ) -> Result<BTreeMap<String, Values>, Failure> {
        let mut all = BTreeMap::new();
        for spec in missing {
            if spec.secrets.is_empty() && spec.environment_files.is_empty() {
                continue;
            }
            let mut values =
                Values { secrets: self.secrets(assignment, &spec.secrets).await?, ..Values::default() };
            for arn in &spec.environment_files {
                let text = self.shared.parts.secrets.file(assignment, arn).await;
                for (name, value) in variables(&text.map_err(|e| failure::environment_file(&e))?) {
                    values.files.entry(name).or_insert(value);
                }
            }
            all.insert(spec.name.clone(), values);
        }
        Ok(all)
    }

    async fn secrets(
        &self,
        assignment: &Assignment,
        wanted: &[SecretReference],
    ) -> Result<Variables, Failure> {
        let mut found = Variables::new();
        for secret in wanted {
            let value = self.shared.parts.secrets.value(assignment, &secret.value_from).await;
            let value = value.map_err(|e| failure::secret(&secret.value_from, &e))?;
            found.insert(secret.name.clone(), value);
        }
        Ok(found)
    }

    /// Puts the values of log drivers' secret options among their options, in memory only.
    pub async fn resolve_logging(&mut self) -> Result<(), Failure> {
        let Some(assignment) = self.assignment.clone() else { return Ok(()) };
        if assignment.containers.iter().all(|spec| spec.logging.secret_options.is_empty()) {
            return Ok(());
        }
        let mut resolved = Assignment::clone(&assignment);
        for spec in &mut resolved.containers {
            let values = self.secrets(&assignment, &spec.logging.secret_options).await?;
            spec.logging.driver.add_options(values);
        }
        self.assignment = Some(Arc::new(resolved));
        Ok(())
    }
}

/// A container's whole environment. What the host tells loses against its files, those against
/// the definition's own variables.
pub(super) fn environment(
    spec: &ContainerSpec,
    told: Option<&Variables>,
    values: Option<&Values>,
) -> Variables {
    let mut all = told.cloned().unwrap_or_default();
    all.extend(values.map(|values| values.files.clone()).unwrap_or_default());
    all.extend(spec.environment.clone());
    all.extend(values.map(|values| values.secrets.clone()).unwrap_or_default());
    all
}

/// AWS: a line is `NAME=value`, everything behind the sign included; `#` begins a comment.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn who_wins() {
        let spec =
            ContainerSpec { environment: map(&[("B", "own"), ("C", "own")]), ..ContainerSpec::default() };
        let told = map(&[("A", "told"), ("B", "told")]);
        let values = Values { files: map(&[("A", "file"), ("C", "file")]), secrets: map(&[("D", "secret")]) };
        let all = environment(&spec, Some(&told), Some(&values));
        assert_eq!(all, map(&[("A", "file"), ("B", "own"), ("C", "own"), ("D", "secret")]));
        assert_eq!(environment(&spec, None, None), spec.environment);
    }

    #[test]
    fn files_of_variables() {
        let text = "# nothing\nA=1\n\nB= two words \nC=\"x=y\"\nnonsense\n=z\n";
        let expected = [("A", "1"), ("B", " two words "), ("C", "\"x=y\"")];
        assert_eq!(variables(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
