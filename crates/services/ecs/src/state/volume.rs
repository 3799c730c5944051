//! A task definition's volumes, whole.

use std::collections::BTreeMap;

use super::kept::kept;

kept! {
    Volume {
        name: Option<String>,
        host: Option<HostVolumeProperties>,
        docker_volume_configuration: Option<DockerVolumeConfiguration>,
        efs_volume_configuration: Option<EFSVolumeConfiguration>,
        s3files_volume_configuration: Option<S3FilesVolumeConfiguration>,
        fsx_windows_file_server_volume_configuration: Option<FSxWindowsFileServerVolumeConfiguration>,
        configured_at_launch: Option<bool>,
    }

    HostVolumeProperties {
        source_path: Option<String>,
    }

    DockerVolumeConfiguration {
        scope: Option<String>,
        autoprovision: Option<bool>,
        driver: Option<String>,
        driver_opts: Option<BTreeMap<String, String>>,
        labels: Option<BTreeMap<String, String>>,
    }

    EFSVolumeConfiguration {
        file_system_id: String,
        root_directory: Option<String>,
        transit_encryption: Option<String>,
        transit_encryption_port: Option<i32>,
        authorization_config: Option<EFSAuthorizationConfig>,
    }

    EFSAuthorizationConfig {
        access_point_id: Option<String>,
        iam: Option<String>,
    }

    S3FilesVolumeConfiguration {
        file_system_arn: String,
        root_directory: Option<String>,
        transit_encryption_port: Option<i32>,
        access_point_arn: Option<String>,
    }

    FSxWindowsFileServerVolumeConfiguration {
        file_system_id: String,
        root_directory: String,
        authorization_config: FSxWindowsFileServerAuthorizationConfig,
    }

    FSxWindowsFileServerAuthorizationConfig {
        credentials_parameter: String,
        domain: String,
    }


}
