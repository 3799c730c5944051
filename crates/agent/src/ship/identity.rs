//! How a container is named to whoever collects its output.

use core_lifecycle::{Assignment, ContainerSpec};

/// What Docker's drivers know of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    /// The runtime's id.
    pub id: String,
    /// `ecs-web-3-nginx-…`: as the ECS agent names containers.
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub labels: Vec<(String, String)>,
    pub environment: Vec<(String, String)>,
}

impl Identity {
    pub fn new(
        assignment: &Assignment,
        spec: &ContainerSpec,
        runtime_id: &str,
        digest: Option<&str>,
    ) -> Self {
        let tail = runtime_id.rsplit('-').next().unwrap_or_default();
        let pairs = |map: &std::collections::BTreeMap<String, String>| {
            map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Identity {
            id: runtime_id.to_owned(),
            name: format!("ecs-{}-{}-{}-{tail}", assignment.family, assignment.revision, spec.name),
            image: spec.image.clone(),
            image_id: digest.unwrap_or_default().to_owned(),
            labels: pairs(&spec.labels),
            environment: pairs(&spec.environment),
        }
    }

    /// A tag's template in Docker's terms; without one, the first twelve digits of the id.
    pub fn tag(&self, template: Option<&str>) -> String {
        let short = |text: &str| text.chars().take(12).collect::<String>();
        let Some(template) = template.filter(|text| !text.is_empty()) else { return short(&self.id) };
        let image_id = self.image_id.strip_prefix("sha256:").unwrap_or(&self.image_id);
        let values = [
            (".ID", short(&self.id)),
            (".FullID", self.id.clone()),
            (".Name", self.name.clone()),
            (".ImageID", short(image_id)),
            (".ImageFullID", self.image_id.clone()),
            (".ImageName", self.image.clone()),
            (".DaemonName", "boxship".to_owned()),
        ];
        let mut tag = template.to_owned();
        for (name, value) in &values {
            tag = tag.replace(&format!("{{{{{name}}}}}"), value).replace(&format!("{{{{ {name} }}}}"), value);
        }
        tag
    }

    /// The labels and variables that the options `labels` and `env` name.
    pub fn extra(&self, options: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
        let chosen = |option: &str, pairs: &[(String, String)]| -> Vec<(String, String)> {
            let names = options.get(option).map(String::as_str).unwrap_or_default();
            let names: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            pairs.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect()
        };
        let mut extra = chosen("labels", &self.labels);
        extra.extend(chosen("env", &self.environment));
        extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_templates() {
        let identity = Identity {
            id: "0123456789abcdef-1".to_owned(),
            name: "ecs-web-3-nginx-1".to_owned(),
            image: "nginx:1".to_owned(),
            image_id: "sha256:fedcba9876543210".to_owned(),
            ..Identity::default()
        };
        assert_eq!(identity.tag(None), "0123456789ab");
        assert_eq!(
            identity.tag(Some("{{.ImageName}}/{{ .Name }}/{{.ID}}")),
            "nginx:1/ecs-web-3-nginx-1/0123456789ab"
        );
        assert_eq!(identity.tag(Some("{{.ImageID}} plain")), "fedcba987654 plain");
    }
}
