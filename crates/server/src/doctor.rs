//! `boxship doctor`: what this machine can and cannot do, and the mend.

use std::borrow::Cow;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::process::ExitCode;

use cli::{Color, Place, RunFile, paint};

/// One finding: what was looked at, whether it is fine, and the mend where it is not.
struct Finding {
    what: &'static str,
    /// `None`: fine.
    trouble: Option<Trouble>,
}

struct Trouble {
    what: String,
    mend: Cow<'static, str>,
    /// Real containers cannot run without it.
    is_fatal: bool,
}

fn fatal(what: impl Into<String>, mend: &'static str) -> Option<Trouble> {
    Some(Trouble { what: what.into(), mend: mend.into(), is_fatal: true })
}

fn minor(what: impl Into<String>, mend: impl Into<Cow<'static, str>>) -> Option<Trouble> {
    Some(Trouble { what: what.into(), mend: mend.into(), is_fatal: false })
}

/// Why real containers cannot run here; `None` if they can.
pub fn why_not_linux() -> Option<String> {
    let fatal =
        containers().into_iter().filter_map(|finding| finding.trouble).find(|trouble| trouble.is_fatal);
    fatal.map(|trouble| trouble.what)
}

fn containers() -> Vec<Finding> {
    vec![
        Finding { what: "Linux", trouble: linux() },
        Finding { what: "root", trouble: root() },
        Finding { what: "overlay file system", trouble: overlay() },
        Finding { what: "control groups", trouble: cgroups() },
        Finding { what: "network namespaces", trouble: namespaces() },
    ]
}

fn linux() -> Option<Trouble> {
    if cfg!(target_os = "linux") { None } else { fatal("this is not Linux", "use --runtime simulated") }
}

fn root() -> Option<Trouble> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    fatal(
        "not root",
        "start with sudo; running without root is not built yet, --runtime simulated needs none",
    )
}

fn overlay() -> Option<Trouble> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_end().ends_with("\toverlay")) {
        return None;
    }
    fatal("the kernel has no overlayfs", "modprobe overlay")
}

fn cgroups() -> Option<Trouble> {
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let missing: Vec<_> =
        ["cpu", "memory", "pids"].into_iter().filter(|name| !has_controller(name, is_v2)).collect();
    if missing.is_empty() {
        return None;
    }
    minor(
        format!("no control group controller {}", missing.join(", ")),
        "tasks that need these limits are refused; --limits advisory starts them without",
    )
}

fn has_controller(name: &str, is_v2: bool) -> bool {
    if is_v2 {
        let known = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        return known.split_whitespace().any(|known| known == name);
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut fields = line.split(' ');
        let kind = fields.nth(2);
        kind == Some("cgroup")
            && fields.next().is_some_and(|options| options.split(',').any(|option| option == name))
    })
}

fn namespaces() -> Option<Trouble> {
    if Path::new("/proc/self/ns/net").exists() {
        return None;
    }
    fatal("the kernel has no network namespaces", "use a kernel with CONFIG_NET_NS")
}

/// Makes an interface in each mode, on a network of its own.
fn networks() -> Vec<Finding> {
    let place = format!("/run/boxship/doctor-{}", std::process::id());
    let shown = |error: vpc::VpcError| format!("{:#}", anyhow::Error::new(error));
    let mend = "modprobe -a veth bridge nf_tables nft_chain_nat nft_ct nft_fib_ipv4 nft_masq nft_nat";
    match vpc::probe(Path::new(&place)) {
        Ok(found) => {
            let vpc = found.vpc.err().and_then(|e| fatal(shown(e), mend));
            let bridge = found.bridge.err().and_then(|e| minor(shown(e), mend));
            vec![
                Finding { what: "network mode awsvpc", trouble: vpc },
                Finding { what: "network mode bridge", trouble: bridge },
            ]
        }
        // Not root, which is a finding of its own.
        Err(_) if !rustix::process::geteuid().is_root() => Vec::new(),
        Err(error) => vec![Finding { what: "networks", trouble: fatal(shown(error), mend) }],
    }
}

/// Rules of other programs that drop what tasks send to the outside and what comes to their ports.
fn firewall() -> Option<Trouble> {
    match vpc::firewalls() {
        Ok(found) => {
            let chains: Vec<_> = found.iter().map(|wall| wall.chain.as_str()).collect();
            let mends: Vec<_> = found.iter().map(|wall| wall.mend.as_str()).collect();
            if found.is_empty() {
                return None;
            }
            minor(
                format!("packets of tasks to and from the outside are dropped by {}", chains.join(", ")),
                mends.join(" && "),
            )
        }
        // Not root: real containers cannot run anyway.
        Err(_) => None,
    }
}

fn latency() -> Option<Trouble> {
    match vpc::can_delay() {
        Ok(true) | Err(_) => None,
        Ok(false) => minor(
            "the kernel has no sch_netem: tasks' network latency faults are refused",
            "modprobe -a sch_netem sch_prio, or nothing if no task injects faults",
        ),
    }
}

fn names() -> Option<Trouble> {
    let resolves = ("boxship-doctor.localhost", 80)
        .to_socket_addrs()
        .is_ok_and(|mut found| found.any(|address| address.ip().is_loopback()));
    if resolves {
        return None;
    }
    minor(
        "names under .localhost do not resolve (curl and browsers resolve them by themselves)",
        "nothing depends on them; add names that you use to /etc/hosts, or install libnss-myhostname",
    )
}

fn port(place: &Place) -> Option<Trouble> {
    let address = place.address();
    match std::net::TcpListener::bind(address) {
        Ok(_) => None,
        // The place's own server.
        Err(error)
            if error.kind() == std::io::ErrorKind::AddrInUse
                && RunFile::read(&place.data_dir()).is_some_and(|run| run.listen == address) =>
        {
            None
        }
        Err(error) => minor(
            format!("{address} cannot be listened on: {error}"),
            "a Boxship that runs has it (`boxship status`); or choose another with --listen",
        ),
    }
}

fn data(place: &Place) -> Option<Trouble> {
    let dir = place.data_dir();
    let existing = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK) {
        Ok(()) => None,
        Err(error) => minor(
            format!("{} cannot be written: {error}", existing.display()),
            "choose another directory with --data-dir",
        ),
    }
}

/// Prints every finding; fails where real containers cannot run.
pub fn run(place: &Place) -> ExitCode {
    let mut findings = containers();
    findings.extend(networks());
    // Others than root cannot look.
    if rustix::process::geteuid().is_root() {
        findings.push(Finding { what: "firewall", trouble: firewall() });
        findings.push(Finding { what: "network latency", trouble: latency() });
    }
    findings.push(Finding { what: "names", trouble: names() });
    findings.push(Finding { what: "port", trouble: port(place) });
    findings.push(Finding { what: "data directory", trouble: data(place) });
    for finding in &findings {
        match &finding.trouble {
            None => println!("{}    {}", paint("ok", Color::Good), finding.what),
            Some(trouble) => {
                let (mark, color) =
                    if trouble.is_fatal { ("no   ", Color::Bad) } else { ("note ", Color::Pending) };
                let mark = paint(mark, color);
                println!("{mark} {}: {}\n        mend: {}", finding.what, trouble.what, trouble.mend);
            }
        }
    }
    let is_fatal = findings.iter().any(|f| f.trouble.as_ref().is_some_and(|trouble| trouble.is_fatal));
    if is_fatal {
        println!("\nreal containers cannot run here: `boxship up` simulates tasks");
        return ExitCode::FAILURE;
    }
    println!("\nreal containers can run here");
    ExitCode::SUCCESS
}
