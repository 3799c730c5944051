//! What RunTask may change of a task definition.

use super::container::{EnvironmentFile, KeyValuePair, ResourceRequirement};
use super::definition::EphemeralStorage;
use super::kept::kept;

kept! {
    TaskOverride {
        container_overrides: Option<Vec<ContainerOverride>>,
        cpu: Option<String>,
        inference_accelerator_overrides: Option<Vec<InferenceAcceleratorOverride>>,
        execution_role_arn: Option<String>,
        memory: Option<String>,
        task_role_arn: Option<String>,
        ephemeral_storage: Option<EphemeralStorage>,
    }

    ContainerOverride {
        name: Option<String>,
        command: Option<Vec<String>>,
        environment: Option<Vec<KeyValuePair>>,
        environment_files: Option<Vec<EnvironmentFile>>,
        cpu: Option<i32>,
        memory: Option<i32>,
        memory_reservation: Option<i32>,
        resource_requirements: Option<Vec<ResourceRequirement>>,
    }

    InferenceAcceleratorOverride {
        device_name: Option<String>,
        device_type: Option<String>,
    }


}
