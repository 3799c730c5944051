//! A container definition, whole.

use std::collections::BTreeMap;

use super::kept::kept;

kept! {
    ContainerDefinition {
        name: Option<String>,
        image: Option<String>,
        repository_credentials: Option<RepositoryCredentials>,
        cpu: Option<i32>,
        memory: Option<i32>,
        memory_reservation: Option<i32>,
        links: Option<Vec<String>>,
        port_mappings: Option<Vec<PortMapping>>,
        essential: Option<bool>,
        restart_policy: Option<ContainerRestartPolicy>,
        entry_point: Option<Vec<String>>,
        command: Option<Vec<String>>,
        environment: Option<Vec<KeyValuePair>>,
        environment_files: Option<Vec<EnvironmentFile>>,
        mount_points: Option<Vec<MountPoint>>,
        volumes_from: Option<Vec<VolumeFrom>>,
        linux_parameters: Option<LinuxParameters>,
        secrets: Option<Vec<Secret>>,
        depends_on: Option<Vec<ContainerDependency>>,
        start_timeout: Option<i32>,
        stop_timeout: Option<i32>,
        version_consistency: Option<String>,
        hostname: Option<String>,
        user: Option<String>,
        working_directory: Option<String>,
        disable_networking: Option<bool>,
        privileged: Option<bool>,
        readonly_root_filesystem: Option<bool>,
        dns_servers: Option<Vec<String>>,
        dns_search_domains: Option<Vec<String>>,
        extra_hosts: Option<Vec<HostEntry>>,
        docker_security_options: Option<Vec<String>>,
        interactive: Option<bool>,
        pseudo_terminal: Option<bool>,
        docker_labels: Option<BTreeMap<String, String>>,
        ulimits: Option<Vec<Ulimit>>,
        log_configuration: Option<LogConfiguration>,
        health_check: Option<HealthCheck>,
        system_controls: Option<Vec<SystemControl>>,
        resource_requirements: Option<Vec<ResourceRequirement>>,
        firelens_configuration: Option<FirelensConfiguration>,
        credential_specs: Option<Vec<String>>,
    }

    RepositoryCredentials {
        credentials_parameter: String,
    }

    PortMapping {
        container_port: Option<i32>,
        host_port: Option<i32>,
        protocol: Option<String>,
        name: Option<String>,
        app_protocol: Option<String>,
        container_port_range: Option<String>,
    }

    ContainerRestartPolicy {
        enabled: bool,
        ignored_exit_codes: Option<Vec<i32>>,
        restart_attempt_period: Option<i32>,
    }

    EnvironmentFile {
        value: String,
        r#type: String,
    }

    MountPoint {
        source_volume: Option<String>,
        container_path: Option<String>,
        read_only: Option<bool>,
    }

    VolumeFrom {
        source_container: Option<String>,
        read_only: Option<bool>,
    }

    LinuxParameters {
        capabilities: Option<KernelCapabilities>,
        devices: Option<Vec<Device>>,
        init_process_enabled: Option<bool>,
        shared_memory_size: Option<i32>,
        tmpfs: Option<Vec<Tmpfs>>,
        max_swap: Option<i32>,
        swappiness: Option<i32>,
    }

    KernelCapabilities {
        add: Option<Vec<String>>,
        drop: Option<Vec<String>>,
    }

    Device {
        host_path: String,
        container_path: Option<String>,
        permissions: Option<Vec<String>>,
    }

    Tmpfs {
        container_path: String,
        size: i32,
        mount_options: Option<Vec<String>>,
    }

    Secret {
        name: String,
        value_from: String,
    }

    ContainerDependency {
        container_name: String,
        condition: String,
    }

    HostEntry {
        hostname: String,
        ip_address: String,
    }

    Ulimit {
        name: String,
        soft_limit: i32,
        hard_limit: i32,
    }

    LogConfiguration {
        log_driver: String,
        options: Option<BTreeMap<String, String>>,
        secret_options: Option<Vec<Secret>>,
    }

    HealthCheck {
        command: Vec<String>,
        interval: Option<i32>,
        timeout: Option<i32>,
        retries: Option<i32>,
        start_period: Option<i32>,
    }

    SystemControl {
        namespace: Option<String>,
        value: Option<String>,
    }

    ResourceRequirement {
        value: Option<String>,
        r#type: String,
        sharing_strategy: Option<SharingStrategy>,
    }

    SharingStrategy {
        nvidia_mps: Option<NvidiaMpsAllocation>,
    }

    NvidiaMpsAllocation {
        memory: i32,
        max_compute_percent: Option<i32>,
    }

    FirelensConfiguration {
        r#type: String,
        options: Option<BTreeMap<String, String>>,
    }

    KeyValuePair {
        name: Option<String>,
        value: Option<String>,
    }


}

impl ContainerDefinition {
    /// Its name; empty where the customer gave none, which no registered definition has.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub fn is_essential(&self) -> bool {
        self.essential.unwrap_or(true)
    }
}
