//! Bearing with a server that is away: tasks go on without it, and so does who follows them.

use std::time::Duration;

use anyhow::{Error, Result};

const POLL: Duration = Duration::from_millis(250);
/// As often a server that does not answer is asked again: one minute.
const TRIES: u32 = 240;

/// For one follower: how often in a row nothing has answered.
#[derive(Debug, Default)]
pub struct Patience {
    tries: u32,
}

impl Patience {
    /// The answer; `None` after a while where nothing answered, so that the caller asks again. Any
    /// other error is passed on, and so is this one once it has lasted a minute.
    pub async fn with<T>(&mut self, answer: Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(answer) => {
                if self.tries > 0 {
                    eprintln!("the server is back");
                }
                self.tries = 0;
                Ok(Some(answer))
            }
            Err(error) if is_away(&error) && self.tries < TRIES => {
                if self.tries == 0 {
                    eprintln!(
                        "the server is gone; tasks go on without it. Waiting a minute for it to come back …"
                    );
                }
                self.tries += 1;
                tokio::time::sleep(POLL).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether nothing answered, or the answer broke off; not that something was refused.
pub fn is_away(error: &Error) -> bool {
    error.chain().any(|cause| cause.is::<std::io::Error>() || cause.is::<hyper::Error>())
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn only_a_server_that_is_away_is_waited_for() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(is_away(&Err::<(), _>(refused).context("nothing listens").expect_err("an error")));
        assert!(!is_away(&anyhow::anyhow!("Cluster not found.")));
    }
}
