//! `boxship`: configuration and wiring.

#![expect(clippy::print_stdout, reason = "commands print their results")]

mod admin;
mod balancers;
mod clock;
mod demo;
mod detach;
mod doctor;
mod down;
mod figures;
mod host;
mod instance;
mod load;
mod loaded;
mod oci_runtime;
mod options;
mod page;
mod reset;
mod secret;
mod shutdown;
mod sweep;
mod up;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cli::Place;
use tracing_subscriber::EnvFilter;

use crate::options::{Options, UpArgs};

/// The AWS container platform as one binary, on machines that you own.
#[derive(Debug, Parser)]
#[command(name = "boxship", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine
    Up(UpArgs),
    /// Stop the server and every task, also when the server has died
    Down(down::DownArgs),
    /// Serve load balancers in a process of its own, which goes on when the server does not
    Proxy(ProxyArgs),
    /// Say what this machine can and cannot do, and the mend
    Doctor,
    /// Show the main job: push an image, make it a service of three tasks behind a load balancer, update it live
    Demo {
        /// The example image's program: a static web server
        #[arg(long, value_name = "FILE")]
        binary: PathBuf,
    },
    /// Print every operation that is built, for the coverage table
    #[command(hide = true)]
    Operations,
    /// Be an OCI runtime: create, start, state, kill, delete
    Oci {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(flatten)]
    Client(cli::Command),
}

#[derive(Debug, clap::Args)]
struct ProxyArgs {
    /// What to log: error, warn, info, debug, or tracing's filter syntax
    #[arg(long, env = "BOXSHIP_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    /// Log as JSON, a line an event
    #[arg(long, env = "BOXSHIP_LOG_JSON")]
    log_json: bool,
}

fn main() -> ExitCode {
    // Before anything else: a shim is single-threaded and small.
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == "shim") {
        return runtime::shim::main(&arguments[2..]);
    }
    // Before any thread, and with its own command line: that of OCI runtimes.
    if arguments.get(1).is_some_and(|first| first == "oci") {
        return oci_runtime::run(&arguments[2..]);
    }
    end_with_the_reader();
    let cli = Cli::parse();
    if matches!(cli.command, Command::Up(_) | Command::Proxy(_) | Command::Demo { .. }) {
        // A server outlives who started it, and must not keep its locks and pipes.
        runtime::close_inherited();
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("boxship: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli) -> Result<ExitCode> {
    cli.place = options::locate(cli.place)?;
    match cli.command {
        Command::Up(args) if args.detach => tokio_runtime()?.block_on(detach::run(&cli.place)),
        Command::Up(args) => {
            let options = Options::settle(&cli.place, &args, doctor::why_not_linux().as_deref())?;
            log(&options.log, options.log_json)?;
            tokio_runtime()?.block_on(up::run(options, up::Screen { ready: greet, ended: part }))
        }
        Command::Proxy(args) => {
            log(&args.log, args.log_json)?;
            tokio_runtime()?.block_on(balancers::role::run(&cli.place))
        }
        Command::Down(args) => tokio_runtime()?.block_on(down::run(&cli.place, &args)),
        Command::Doctor => Ok(doctor::run(&cli.place)),
        Command::Demo { binary } => tokio_runtime()?.block_on(demo::run(&cli.place, &binary)),
        Command::Operations => {
            up::operations()?.iter().for_each(|line| println!("{line}"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Oci { arguments } => Ok(oci_runtime::run(&arguments)),
        Command::Client(command) => tokio_runtime()?.block_on(cli::run(command, &cli.place)),
    }
}

/// A reader that has seen enough (`boxship ps | head -1`) is no reason to panic: `println!` has no
/// other way to say that its output is closed.
fn end_with_the_reader() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to std") {
            std::process::exit(0);
        }
        default(panic);
    }));
}

fn tokio_runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn log(filter: &str, is_json: bool) -> Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // https://no-color.org
        .with_ansi(
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
        );
    if is_json {
        builder.json().init();
    } else {
        builder.with_target(false).compact().init();
    }
    Ok(())
}

/// What people see once everything answers.
fn greet(run: &cli::RunFile) {
    let port = run.listen.port();
    println!("Boxship {} is ready on http://localhost:{port} ({} runtime)", run.version, run.runtime);
    let listen = cli::listen_option(port);
    println!("  in another terminal:  eval \"$(boxship{listen} env)\"   then   aws ecs list-clusters");
    println!("  Ctrl-C ends the server and leaves tasks running; `boxship down` ends both");
}

/// What people see when the server ends and tasks do not.
fn part(running: usize) {
    let tasks = if running == 1 { "1 task runs" } else { &format!("{running} tasks run") };
    println!("\nthe server has ended; {tasks} on.");
    println!("  boxship up      takes them up again");
    println!("  boxship down    ends them");
}
