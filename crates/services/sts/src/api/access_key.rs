//! GetAccessKeyInfo.

use aws_sts::{GetAccessKeyInfoRequest, GetAccessKeyInfoResponse};
use base::{AccountId, Fault};
use service::View;

use crate::behaviour::access_key;
use crate::faults;

/// AWS: the account stands in the key; that the key exists is not looked at. In open mode a key
/// may be an account's number itself.
pub(super) fn info(
    _: &View<'_>,
    request: GetAccessKeyInfoRequest,
) -> Result<GetAccessKeyInfoResponse, Fault> {
    let key = &request.access_key_id;
    let account = AccountId::parse(key).or_else(|| access_key::account(key));
    let account = account.ok_or_else(|| faults::invalid("Invalid Access Key ID"))?;
    Ok(GetAccessKeyInfoResponse { account: Some(account.to_string()) })
}
