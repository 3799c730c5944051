//! Passwords for `docker login`.

use aws_ecr::{AuthorizationData, GetAuthorizationTokenRequest, GetAuthorizationTokenResponse};
use base::Fault;
use service::View;

use crate::state::Registry;
use crate::token::VALID_FOR;
use crate::{Config, faults};

pub fn get(
    config: &Config,
    view: &View<'_>,
    request: GetAuthorizationTokenRequest,
) -> Result<GetAuthorizationTokenResponse, Fault> {
    let registry = Registry::of(view.caller);
    let ids = request.registry_ids.unwrap_or_default();
    if let Some(other) = ids.iter().find(|id| **id != registry.account) {
        return Err(faults::foreign_registry(other));
    }
    let expires_at = (config.wall)() + VALID_FOR;
    let data = AuthorizationData {
        authorization_token: Some(config.tokens.authorization(&registry, expires_at)),
        expires_at: Some(expires_at),
        proxy_endpoint: Some(format!("http://{}", config.host)),
    };
    Ok(GetAuthorizationTokenResponse { authorization_data: Some(vec![data]) })
}
