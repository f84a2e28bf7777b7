//! Cross-origin rules of a bucket: put, told, taken away. What they do stands in [`crate::cors`].

use cairn_machine::Outcome;
use cairn_machine::operation::Operation;
use cairn_machine::row::Row;
use cairn_machine::rows::config::{BucketConfig, BucketConfigRow, CONFIG_BYTES_MAX, ConfigKind};
use cairn_machine::rows::cors::{CORS_RULES_MAX, CorsRule};
use cairn_metadata::query;
use http::{HeaderName, HeaderValue};
use s3s::dto::{CORSRule, GetBucketCorsOutput, PutBucketCorsInput};
use s3s::{S3Result, s3_error};

use crate::fault::Fault;
use crate::front::Core;
use crate::names;
use crate::outcome::unexpected;

/// The methods that a rule may name.
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "HEAD"];

/// The longest name of a rule: what S3 allows.
const ID_BYTES_MAX: usize = 255;

/// Says which rules a bucket has.
pub async fn get(core: &Core, bucket: &str) -> Result<GetBucketCorsOutput, Fault> {
    let name = names::bucket(bucket).map_err(|_| Fault::NoSuchBucket)?;
    let view = core.stripes.client.read().await?;
    let (id, _) = query::bucket_by_name(&view, &name)?.ok_or(Fault::NoSuchBucket)?;
    match BucketConfigRow::get(&view, &(id, ConfigKind::Cors))?.map(|row| row.config) {
        Some(BucketConfig::Cors(rules)) => {
            Ok(GetBucketCorsOutput { cors_rules: Some(rules.into_iter().map(shown).collect()) })
        }
        _ => Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist").into()),
    }
}

/// Gives a bucket these rules and no others.
pub async fn put(core: &Core, input: PutBucketCorsInput) -> Result<(), Fault> {
    let rules = input.cors_configuration.cors_rules;
    if rules.is_empty() || rules.len() > CORS_RULES_MAX {
        return Err(s3_error!(MalformedXML).into());
    }
    let rules = rules.into_iter().map(understood).collect::<S3Result<Vec<_>>>()?;
    if rules.iter().map(CorsRule::weight).sum::<usize>() > CONFIG_BYTES_MAX - 64 {
        return Err(s3_error!(InvalidRequest, "The CORS configuration has more than 64 KiB.").into());
    }
    let id = core.bucket(&input.bucket).await?;
    done(core.propose(Operation::PutBucketConfig { id, config: BucketConfig::Cors(rules) }).await?)
}

/// Takes all rules away. That there are none is no error.
pub async fn delete(core: &Core, bucket: &str) -> Result<(), Fault> {
    let id = core.bucket(bucket).await?;
    done(core.propose(Operation::RemoveBucketConfig { id, kind: ConfigKind::Cors }).await?)
}

fn done(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(unexpected("cross-origin rules", &other)),
    }
}

fn shown(rule: CorsRule) -> CORSRule {
    let some = |texts: Vec<String>| (!texts.is_empty()).then_some(texts);
    CORSRule {
        allowed_headers: some(rule.headers),
        allowed_methods: rule.methods,
        allowed_origins: rule.origins,
        expose_headers: some(rule.exposed),
        id: rule.id,
        max_age_seconds: rule.max_age_seconds.and_then(|seconds| i32::try_from(seconds).ok()),
    }
}

/// A rule, judged as a whole: whatever it says can be said to a browser later.
fn understood(rule: CORSRule) -> S3Result<CorsRule> {
    let CORSRule { allowed_headers, allowed_methods, allowed_origins, expose_headers, id, max_age_seconds } = rule;
    let (headers, exposed) = (allowed_headers.unwrap_or_default(), expose_headers.unwrap_or_default());
    if allowed_methods.is_empty() || allowed_origins.is_empty() || id.as_ref().is_some_and(|id| id.len() > ID_BYTES_MAX)
    {
        return Err(s3_error!(MalformedXML));
    }
    if let Some(method) = allowed_methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        let method = names::xml_text(method.clone());
        return Err(s3_error!(
            InvalidRequest,
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    for pattern in allowed_origins.iter().chain(&headers) {
        if pattern.matches('*').count() > 1 {
            let pattern = names::xml_text(pattern.clone());
            return Err(s3_error!(InvalidRequest, "\"{pattern}\" can not have more than one wildcard."));
        }
    }
    let is_name = |name: &str| HeaderName::try_from(name).is_ok();
    let sound = allowed_origins.iter().all(|origin| HeaderValue::try_from(origin.as_str()).is_ok())
        && headers.iter().all(|name| is_name(&name.replace('*', "x")))
        && exposed.iter().all(|name| is_name(name));
    if !sound {
        return Err(s3_error!(InvalidRequest, "An origin or the name of a header cannot be sent as one."));
    }
    let max_age_seconds = max_age_seconds.map(u32::try_from).transpose().map_err(|_| s3_error!(MalformedXML))?;
    Ok(CorsRule { id, origins: allowed_origins, methods: allowed_methods, headers, exposed, max_age_seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, method: &str, header: &str, exposed: &str) -> CORSRule {
        let some = |text: &str| (!text.is_empty()).then(|| vec![text.to_owned()]);
        CORSRule {
            allowed_headers: some(header),
            allowed_methods: vec![method.to_owned()],
            allowed_origins: vec![origin.to_owned()],
            expose_headers: some(exposed),
            id: Some("one".into()),
            max_age_seconds: Some(60),
        }
    }

    #[test]
    fn rules_are_kept_as_they_are_or_refused() {
        let sound = rule("https://*.example.org", "PUT", "x-amz-*", "ETag");
        assert_eq!(shown(understood(sound.clone()).unwrap()), sound);
        for (refused, code) in [
            (rule("*", "OPTIONS", "", ""), "InvalidRequest"),
            (rule("*", "get", "", ""), "InvalidRequest"),
            (rule("*.*", "GET", "", ""), "InvalidRequest"),
            (rule("*", "GET", "*-*", ""), "InvalidRequest"),
            (rule("*", "GET", "a b", ""), "InvalidRequest"),
            (rule("*", "GET", "", "*\n"), "InvalidRequest"),
            (rule("a\nb", "GET", "", ""), "InvalidRequest"),
            (CORSRule { allowed_origins: vec![], ..sound.clone() }, "MalformedXML"),
            (CORSRule { allowed_methods: vec![], ..sound.clone() }, "MalformedXML"),
            (CORSRule { id: Some("x".repeat(256)), ..sound.clone() }, "MalformedXML"),
            (CORSRule { max_age_seconds: Some(-1), ..sound }, "MalformedXML"),
        ] {
            assert_eq!(understood(refused.clone()).unwrap_err().code().as_str(), code, "{refused:?}");
        }
    }
}
