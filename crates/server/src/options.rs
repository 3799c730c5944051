//! Options of `boxship up`: from the command line, `BOXSHIP_*` variables and a TOML file, in that
//! order of precedence.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use cli::{Place, RunFile};
use oci::distribution::Mirrors;
use serde::Deserialize;

/// Where options lie that nobody names.
const DEFAULT_CONFIG: &str = "/etc/boxship.toml";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// Real containers on Linux.
    Linux,
    /// No container: tasks walk their life cycle under a clock that tests advance.
    Simulated,
}

impl RuntimeChoice {
    pub fn name(self) -> &'static str {
        match self {
            RuntimeChoice::Linux => "linux",
            RuntimeChoice::Simulated => "simulated",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthChoice {
    /// The user who started Boxship and root may call; signatures say only account and region.
    Open,
    /// Signatures and policies are checked (not built yet: refuses to start).
    Enforce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitsChoice {
    /// A task whose cpu or memory cannot be limited does not start.
    Enforced,
    /// It starts all the same.
    Advisory,
}

/// What `boxship up` takes beside where it is.
#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    /// Real containers, or none [default: linux where root is, else simulated]
    #[arg(long, env = "BOXSHIP_RUNTIME", value_enum)]
    pub runtime: Option<RuntimeChoice>,
    /// Who may call [default: open on loopback]
    #[arg(long, env = "BOXSHIP_AUTH", value_enum)]
    pub auth: Option<AuthChoice>,
    /// Limits of cpu and memory that this machine cannot set [default: enforced]
    #[arg(long, env = "BOXSHIP_LIMITS", value_enum)]
    pub limits: Option<LimitsChoice>,
    /// Run containers through this OCI runtime (runc, crun, runsc, or a path) [default: our own launcher]
    #[arg(long, env = "BOXSHIP_OCI_RUNTIME", value_name = "PROGRAM")]
    pub oci_runtime: Option<PathBuf>,
    /// Send pulls of a registry to another: public.ecr.aws=localhost:4566/mirror (repeatable)
    #[arg(long, env = "BOXSHIP_REGISTRY_MIRROR", value_name = "FROM=TO", value_delimiter = ',')]
    pub registry_mirror: Vec<String>,
    /// Make this machine a container instance of a cluster, for launch type EC2
    #[arg(long, env = "BOXSHIP_INSTANCE", value_name = "CLUSTER")]
    pub instance: Option<String>,
    /// A device that the container instance gives away as a GPU: /dev/nvidia0 (repeatable)
    #[arg(long, env = "BOXSHIP_INSTANCE_GPU", value_name = "DEVICE", value_delimiter = ',')]
    pub instance_gpu: Vec<PathBuf>,
    /// What tasks find in AWS_ENDPOINT_URL: a URL, or `off` for nothing [default: this server]
    #[arg(long, env = "BOXSHIP_TASK_ENDPOINT_URL", value_name = "URL")]
    pub task_endpoint_url: Option<String>,
    /// Let POST /_boxship/reset wipe everything
    #[arg(long, env = "BOXSHIP_ALLOW_RESET")]
    pub allow_reset: bool,
    /// Return once ready; the server goes on in the background
    #[arg(long)]
    pub detach: bool,
    /// What to log: error, warn, info, debug, or tracing's filter syntax [default: info]
    #[arg(long, env = "BOXSHIP_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Log as JSON, a line an event
    #[arg(long, env = "BOXSHIP_LOG_JSON")]
    pub log_json: bool,
    /// Seed of ids, for repeatable runs of the simulated runtime
    #[arg(long, env = "BOXSHIP_SEED", hide = true)]
    pub seed: Option<u64>,
}

/// The TOML file: the long options' names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    runtime: Option<RuntimeChoice>,
    auth: Option<AuthChoice>,
    limits: Option<LimitsChoice>,
    oci_runtime: Option<PathBuf>,
    #[serde(default)]
    registry_mirror: Vec<String>,
    instance: Option<String>,
    #[serde(default)]
    instance_gpu: Vec<PathBuf>,
    task_endpoint_url: Option<String>,
    allow_reset: Option<bool>,
    log: Option<String>,
    log_json: Option<bool>,
    seed: Option<u64>,
}

/// Every option, settled.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub runtime: RuntimeChoice,
    /// The runtime was not asked for: it is what this machine can do.
    pub is_runtime_default: bool,
    pub is_open_to_all: bool,
    pub is_limits_advisory: bool,
    /// Absolute: a task's supervisor outlives our directory and our `PATH`.
    pub oci_runtime: Option<PathBuf>,
    pub mirrors: Mirrors,
    /// What this machine is a container instance of, if it is one.
    pub instance: Option<Instance>,
    /// `AWS_ENDPOINT_URL` of tasks.
    pub task_endpoint_url: Option<String>,
    pub allow_reset: bool,
    pub log: String,
    pub log_json: bool,
    pub seed: Option<u64>,
}

/// This machine as a container instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// A cluster's name or ARN.
    pub cluster: String,
    /// Devices, by their paths.
    pub gpus: Vec<String>,
}

impl Options {
    /// Settles the options. `why_not_linux` says why real containers cannot run here.
    pub fn settle(place: &Place, args: &UpArgs, why_not_linux: Option<&str>) -> Result<Options> {
        let file = read(place.config.as_deref())?;
        let listen = place.listen.or(file.listen).unwrap_or_else(cli::default_listen);
        let auth = args.auth.or(file.auth);
        if auth == Some(AuthChoice::Enforce) {
            bail!(
                "--auth enforce is not built yet: signatures and policies would not be checked. \
                 Use --auth open, which admits only the user who starts Boxship and root"
            );
        }
        if !listen.ip().is_loopback() && auth != Some(AuthChoice::Open) {
            bail!(
                "{listen} is reachable from other machines, and Boxship cannot check signatures yet. \
                 Listen on 127.0.0.1, or say --auth open to let everybody in who reaches that address"
            );
        }
        let asked = args.runtime.or(file.runtime);
        if let (Some(RuntimeChoice::Linux), Some(why)) = (asked, why_not_linux) {
            bail!("--runtime linux cannot run here: {why}. `boxship doctor` says how to mend it");
        }
        let fallback = if why_not_linux.is_none() { RuntimeChoice::Linux } else { RuntimeChoice::Simulated };
        let asked_mirrors =
            if args.registry_mirror.is_empty() { file.registry_mirror } else { args.registry_mirror.clone() };
        let mut mirrors = Mirrors::default();
        for mirror in &asked_mirrors {
            mirrors.add(mirror).context("--registry-mirror")?;
        }
        let data_dir = place.data_dir.clone().or(file.data_dir);
        let runtime = asked.unwrap_or(fallback);
        let oci_runtime = args.oci_runtime.clone().or(file.oci_runtime).map(|name| find_program(&name));
        let oci_runtime = oci_runtime.transpose().context("--oci-runtime")?;
        if oci_runtime.is_some() && runtime == RuntimeChoice::Simulated {
            bail!("--oci-runtime needs --runtime linux: the simulated runtime starts no container");
        }
        let gpus = if args.instance_gpu.is_empty() { file.instance_gpu } else { args.instance_gpu.clone() };
        let cluster = args.instance.clone().or(file.instance).filter(|cluster| !cluster.is_empty());
        let instance = instance(cluster, gpus, runtime)?;
        Ok(Options {
            listen,
            data_dir: data_dir.unwrap_or_else(|| Place::default().data_dir()),
            runtime,
            is_runtime_default: asked.is_none(),
            is_open_to_all: !listen.ip().is_loopback(),
            is_limits_advisory: args.limits.or(file.limits) == Some(LimitsChoice::Advisory),
            oci_runtime,
            mirrors,
            instance,
            task_endpoint_url: task_endpoint_url(args.task_endpoint_url.clone().or(file.task_endpoint_url))?,
            allow_reset: args.allow_reset || file.allow_reset.unwrap_or(false),
            log: args.log.clone().or(file.log).unwrap_or_else(|| String::from("info")),
            log_json: args.log_json || file.log_json.unwrap_or(false),
            seed: args.seed.or(file.seed),
        })
    }
}

/// Where tasks reach the one port, unless the user says otherwise.
fn task_endpoint_url(asked: Option<String>) -> Result<Option<String>> {
    match asked.as_deref() {
        None | Some("") => Ok(Some(String::from("http://169.254.170.2:4566"))),
        Some("off") => Ok(None),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => Ok(Some(url.to_owned())),
        Some(other) => bail!("--task-endpoint-url is a URL or 'off', not '{other}'"),
    }
}

/// A machine that has containers has the devices that it gives them.
fn instance(cluster: Option<String>, gpus: Vec<PathBuf>, runtime: RuntimeChoice) -> Result<Option<Instance>> {
    let Some(cluster) = cluster else {
        if !gpus.is_empty() {
            bail!("--instance-gpu needs --instance: Fargate has no GPUs");
        }
        return Ok(None);
    };
    let is_device = |path: &Path| {
        std::fs::metadata(path)
            .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_char_device(&found.file_type()))
    };
    if let Some(gpu) = gpus.iter().find(|gpu| runtime == RuntimeChoice::Linux && !is_device(gpu)) {
        bail!("--instance-gpu {}: this machine has no such device", gpu.display());
    }
    let gpus = gpus.iter().map(|gpu| gpu.display().to_string()).collect();
    Ok(Some(Instance { cluster, gpus }))
}

/// Where an executable lies: a bare name is looked for in `PATH`, as a shell does.
fn find_program(name: &Path) -> Result<PathBuf> {
    let is_bare = name.components().count() == 1 && !name.is_absolute();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = vec![name.to_path_buf()];
    if is_bare {
        places = std::env::split_paths(&path).map(|dir| dir.join(name)).collect();
    }
    let is_program =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    let found = places.into_iter().find(is_program);
    let found = found.with_context(|| format!("{} is no program on this machine", name.display()))?;
    std::path::absolute(&found).with_context(|| found.display().to_string())
}

/// Where the configuration file says that the server is, as far as the command line leaves it open.
pub fn locate(mut place: Place) -> Result<Place> {
    let file = read(place.config.as_deref())?;
    place.data_dir = place.data_dir.or(file.data_dir);
    // A running server knows its port best.
    if RunFile::read(&place.data_dir()).is_none() {
        place.listen = place.listen.or(file.listen);
    }
    Ok(place)
}

fn read(named: Option<&Path>) -> Result<File> {
    let path = named.unwrap_or(Path::new(DEFAULT_CONFIG));
    if named.is_none() && !path.exists() {
        return Ok(File::default());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let shell = find_program(Path::new("sh")).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{}", shell.display());
        assert_eq!(find_program(&shell).unwrap(), shell);
        for none in ["no-such-runtime", "/etc/passwd", "/etc", ""] {
            assert!(find_program(Path::new(none)).is_err(), "{none:?}");
        }
    }

    #[test]
    fn gpus_are_an_instances_and_real_ones_are_there() {
        let gpus = || vec![PathBuf::from("/dev/no-such-gpu")];
        let cluster = || Some(String::from("main"));
        assert!(instance(None, gpus(), RuntimeChoice::Simulated).is_err());
        assert!(instance(cluster(), gpus(), RuntimeChoice::Linux).is_err());
        assert!(instance(cluster(), vec![PathBuf::from("/etc/passwd")], RuntimeChoice::Linux).is_err());
        assert!(instance(cluster(), vec![PathBuf::from("/dev/null")], RuntimeChoice::Linux).is_ok());
        let settled = instance(cluster(), gpus(), RuntimeChoice::Simulated).unwrap().unwrap();
        assert_eq!(settled.gpus, ["/dev/no-such-gpu"]);
        assert_eq!(instance(None, Vec::new(), RuntimeChoice::Linux).unwrap(), None);
    }

    #[test]
    fn tasks_find_this_server_unless_told_otherwise() {
        let told = |asked: Option<&str>| task_endpoint_url(asked.map(str::to_owned)).unwrap();
        assert_eq!(told(None).as_deref(), Some("http://169.254.170.2:4566"));
        assert_eq!(told(Some("off")), None);
        assert_eq!(told(Some("https://example.com")).as_deref(), Some("https://example.com"));
        assert!(task_endpoint_url(Some("localhost:1".to_owned())).is_err());
    }

    #[test]
    fn the_simulated_runtime_takes_no_oci_runtime() {
        let args = UpArgs {
            runtime: Some(RuntimeChoice::Simulated),
            oci_runtime: Some("sh".into()),
            ..UpArgs::default()
        };
        let error = Options::settle(&Place::default(), &args, None).unwrap_err();
        assert!(error.to_string().contains("--oci-runtime"), "{error:#}");
    }
}
