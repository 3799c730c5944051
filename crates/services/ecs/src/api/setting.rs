//! Account settings: ListAccountSettings, PutAccountSetting, PutAccountSettingDefault,
//! DeleteAccountSetting; and which value holds for a caller.

use aws_ecs as aws;
use base::{AccountId, Arn, Fault};
use service::{Caller, Principal, Tx, View};
use store::{Key, Snapshot};

use crate::behaviour::setting::SettingName;
use crate::faults::SettingError;
use crate::page::Page;
use crate::state::setting::Setting;

/// AWS: settings of one page.
const MOST: usize = 10;

/// The value of `name` that holds for what `caller` does: his own, or else the account's, or else
/// AWS's default.
pub fn effective(records: &Snapshot, caller: &Caller, name: SettingName) -> String {
    held(records, caller, &principal(caller), name)
}

fn held(records: &Snapshot, caller: &Caller, principal: &str, name: SettingName) -> String {
    let of = |principal: &str| {
        let key = Setting::key_of(&caller.account, &caller.region, principal, name.text());
        records.get::<Setting>(&key).map(|setting| setting.value.clone())
    };
    of(principal).or_else(|| of(&root(&caller.account))).unwrap_or_else(|| String::from(name.default()))
}

fn root(account: &AccountId) -> String {
    format!("arn:aws:iam::{account}:root")
}

/// AWS: whoever is neither a user nor a role has the settings of the root user.
fn principal(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Role { arn, .. } => arn.clone(),
        Principal::Root | Principal::Service(_) => root(&caller.account),
    }
}

/// The principal that a request means: the caller himself, or a user, a role or the root user of his
/// account.
fn meant(caller: &Caller, asked: Option<&str>) -> Result<String, SettingError> {
    let Some(text) = asked.filter(|text| !text.is_empty()) else { return Ok(principal(caller)) };
    let is_principal = Arn::parse(text).is_ok_and(|arn| {
        let resource = arn.resource();
        arn.service() == "iam"
            && arn.account() == caller.account.as_str()
            && (resource == "root" || resource.starts_with("user/") || resource.starts_with("role/"))
    });
    if is_principal { Ok(String::from(text)) } else { Err(SettingError::Principal) }
}

fn named(text: &str) -> Result<SettingName, SettingError> {
    SettingName::parse(text).ok_or_else(|| SettingError::Name(String::from(text)))
}

pub fn put(
    tx: &mut Tx<'_>,
    request: aws::PutAccountSettingRequest,
) -> Result<aws::PutAccountSettingResponse, Fault> {
    let principal = meant(tx.caller, request.principal_arn.as_deref())?;
    let setting = set(tx, &request.name, request.value, principal)?;
    Ok(aws::PutAccountSettingResponse { setting: Some(setting) })
}

pub fn put_default(
    tx: &mut Tx<'_>,
    request: aws::PutAccountSettingDefaultRequest,
) -> Result<aws::PutAccountSettingDefaultResponse, Fault> {
    let principal = root(&tx.caller.account);
    let setting = set(tx, &request.name, request.value, principal)?;
    Ok(aws::PutAccountSettingDefaultResponse { setting: Some(setting) })
}

fn set(tx: &mut Tx<'_>, name: &str, value: String, principal: String) -> Result<aws::Setting, Fault> {
    let name = named(name)?;
    name.check(&value).map_err(SettingError::from)?;
    let (account, region) = (tx.caller.account.clone(), tx.caller.region.clone());
    tx.put(Setting {
        account,
        region,
        principal: principal.clone(),
        name: String::from(name.text()),
        value: value.clone(),
    });
    Ok(shape(name, value, principal))
}

fn shape(name: SettingName, value: String, principal: String) -> aws::Setting {
    aws::Setting {
        name: Some(String::from(name.text())),
        value: Some(value),
        principal_arn: Some(principal),
        r#type: Some(String::from(if name.is_managed() { "aws_managed" } else { "user" })),
    }
}

pub fn delete(
    tx: &mut Tx<'_>,
    request: aws::DeleteAccountSettingRequest,
) -> Result<aws::DeleteAccountSettingResponse, Fault> {
    let name = named(&request.name)?;
    let principal = meant(tx.caller, request.principal_arn.as_deref())?;
    let key = Setting::key_of(&tx.caller.account, &tx.caller.region, &principal, name.text());
    tx.delete::<Setting>(&key);
    // AWS: the answer is what holds from now on.
    let value = held(tx, tx.caller, &principal, name);
    Ok(aws::DeleteAccountSettingResponse { setting: Some(shape(name, value, principal)) })
}

pub fn list(
    view: &View<'_>,
    request: aws::ListAccountSettingsRequest,
) -> Result<aws::ListAccountSettingsResponse, Fault> {
    let wanted = request.name.as_deref().filter(|name| !name.is_empty()).map(named).transpose()?;
    let value = request.value.as_deref().filter(|value| !value.is_empty());
    if value.is_some() && wanted.is_none() {
        return Err(SettingError::ValueWithoutName.into());
    }
    let principal = meant(view.caller, request.principal_arn.as_deref())?;
    let caller = view.caller;
    let prefix = Key::of(&[caller.account.as_str(), caller.region.as_str(), &principal]);
    let asked = request.max_results.filter(|most| *most != 0);
    let page = Page::within(MOST, &prefix, asked, request.next_token.as_deref())?;
    let is_effective = request.effective_settings == Some(true);
    let all = SettingName::ALL.into_iter().filter_map(|name| {
        let key = Setting::key_of(&caller.account, &caller.region, &principal, name.text());
        let own = view.get::<Setting>(&key).map(|setting| setting.value.clone());
        let value = if is_effective { Some(held(view, caller, &principal, name)) } else { own };
        Some((key, shape(name, value?, principal.clone())))
    });
    let after = page.after.clone();
    let found = all.filter(|(key, shape)| {
        after.as_ref().is_none_or(|after| key > after)
            && wanted.is_none_or(|name| shape.name.as_deref() == Some(name.text()))
            && value.is_none_or(|value| shape.value.as_deref() == Some(value))
    });
    let (settings, next_token) = page.take(found);
    Ok(aws::ListAccountSettingsResponse { settings: Some(settings), next_token })
}
