//! Conditions of a policy's statements: an operator, what it asks for, and values.
//!
//! ```text
//! "Condition": {"StringLike": {"s3:prefix": ["a/*", "b/*"]}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
//! ```
//! All must hold; of the values of one, one must fit, or with a negated operator none.

use std::net::IpAddr;

use s3s::S3Result;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{fits, malformed};
use crate::authority::facts::{self, Fact, Facts};

/// How a fact is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsWithoutCase,
    Like,
    Number(Order),
    Date(Order),
    Bool,
    Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Of a fact with many values: which of them must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// Whether there is such a fact at all.
    Null,
    Compares {
        comparison: Comparison,
        negated: bool,
        if_exists: bool,
        quantifier: Quantifier,
    },
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

fn operator(name: &str) -> Option<Operator> {
    let (quantifier, rest) = match name.split_once(':') {
        None => (Quantifier::Any, name),
        Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
        Some(("ForAllValues", rest)) => (Quantifier::All, rest),
        Some(_) => return None,
    };
    let (rest, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |rest| (rest, true));
    let (comparison, negated) = match rest {
        "Null" if name == "Null" => return Some(Operator::Null),
        "StringEquals" | "ArnEquals" => (Comparison::Equals, false),
        "StringNotEquals" | "ArnNotEquals" => (Comparison::Equals, true),
        "StringEqualsIgnoreCase" => (Comparison::EqualsWithoutCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::EqualsWithoutCase, true),
        "StringLike" | "ArnLike" => (Comparison::Like, false),
        "StringNotLike" | "ArnNotLike" => (Comparison::Like, true),
        "NumericEquals" => (Comparison::Number(Order::Equal), false),
        "NumericNotEquals" => (Comparison::Number(Order::Equal), true),
        "NumericLessThan" => (Comparison::Number(Order::Less), false),
        "NumericLessThanEquals" => (Comparison::Number(Order::LessOrEqual), false),
        "NumericGreaterThan" => (Comparison::Number(Order::Greater), false),
        "NumericGreaterThanEquals" => (Comparison::Number(Order::GreaterOrEqual), false),
        "DateEquals" => (Comparison::Date(Order::Equal), false),
        "DateNotEquals" => (Comparison::Date(Order::Equal), true),
        "DateLessThan" => (Comparison::Date(Order::Less), false),
        "DateLessThanEquals" => (Comparison::Date(Order::LessOrEqual), false),
        "DateGreaterThan" => (Comparison::Date(Order::Greater), false),
        "DateGreaterThanEquals" => (Comparison::Date(Order::GreaterOrEqual), false),
        "Bool" => (Comparison::Bool, false),
        "IpAddress" => (Comparison::Address, false),
        "NotIpAddress" => (Comparison::Address, true),
        _ => return None,
    };
    Some(Operator::Compares { comparison, negated, if_exists, quantifier })
}

/// Reads the conditions of a statement.
pub fn parse(value: &Value) -> S3Result<Vec<Condition>> {
    let Value::Object(operators) = value else { return Err(malformed("Condition must be an object.")) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let operator = operator(name).ok_or_else(|| malformed(&format!("Invalid Condition type : {name}")))?;
        let Value::Object(keys) = keys else { return Err(malformed("A condition must be an object.")) };
        for (key, values) in keys {
            if !facts::is_known(key) {
                return Err(malformed(&format!("Policy has an invalid condition key: {key}")));
            }
            let values = match values {
                Value::Array(values) => values.iter().map(text).collect::<S3Result<Vec<_>>>()?,
                one => vec![text(one)?],
            };
            let sound = !values.is_empty() && values.iter().all(|value| is_sound(operator, value));
            if !sound {
                return Err(malformed(&format!("Invalid value for condition {name}")));
            }
            conditions.push(Condition { operator, key: key.clone(), values });
        }
    }
    Ok(conditions)
}

fn text(value: &Value) -> S3Result<String> {
    match value {
        Value::String(text) if !text.contains("${") => Ok(text.clone()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(malformed("The value of a condition must be a text, a number or a bool.")),
    }
}

/// Whether a value can be compared with anything: one that cannot would make a condition that never holds.
fn is_sound(operator: Operator, value: &str) -> bool {
    match operator {
        Operator::Null => matches!(value, "true" | "false"),
        Operator::Compares { comparison, .. } => match comparison {
            Comparison::Number(_) => number(value).is_some(),
            Comparison::Date(_) => moment(value).is_some(),
            Comparison::Bool => matches!(value.to_ascii_lowercase().as_str(), "true" | "false"),
            Comparison::Address => network(value).is_some(),
            Comparison::Equals | Comparison::EqualsWithoutCase | Comparison::Like => true,
        },
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Seconds since 1970.
fn moment(text: &str) -> Option<f64> {
    number(text).or_else(|| Some(OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp() as f64))
}

/// An address and how many bits of it count.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn is_in(address: IpAddr, (network, bits): (IpAddr, u32)) -> bool {
    let same = |a: u128, b: u128, width: u32| bits == 0 || (a ^ b) >> (width - bits) == 0;
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => same(address.to_bits().into(), network.to_bits().into(), 32),
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.to_bits(), network.to_bits(), 128),
        _ => false,
    }
}

fn in_order(order: Order, a: f64, b: f64) -> bool {
    match order {
        Order::Equal => a == b,
        Order::Less => a < b,
        Order::LessOrEqual => a <= b,
        Order::Greater => a > b,
        Order::GreaterOrEqual => a >= b,
    }
}

fn compare(comparison: Comparison, fact: &str, value: &str) -> bool {
    let both = |read: fn(&str) -> Option<f64>| read(fact).zip(read(value));
    match comparison {
        Comparison::Equals => fact == value,
        Comparison::EqualsWithoutCase => fact.to_lowercase() == value.to_lowercase(),
        Comparison::Like => fits(value, fact),
        Comparison::Number(order) => both(number).is_some_and(|(a, b)| in_order(order, a, b)),
        Comparison::Date(order) => both(moment).is_some_and(|(a, b)| in_order(order, a, b)),
        Comparison::Bool => fact.eq_ignore_ascii_case(value),
        Comparison::Address => {
            fact.parse().ok().zip(network(value)).is_some_and(|(address, network)| is_in(address, network))
        }
    }
}

impl Condition {
    /// What it asks for.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it holds; `None` where that is not known.
    pub fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        let fact = facts.get(&self.key);
        let Operator::Compares { comparison, negated, if_exists, quantifier } = self.operator else {
            let absent = match fact {
                Fact::Absent => "true",
                Fact::Values(_) => "false",
                Fact::Unknown => return None,
            };
            return Some(self.values.iter().any(|value| value == absent));
        };
        let sent = match fact {
            Fact::Unknown => return None,
            // What is not there is not like anything.
            Fact::Absent => return Some(negated || if_exists || quantifier == Quantifier::All),
            Fact::Values(sent) => sent,
        };
        let fits = |sent: &String| self.values.iter().any(|value| compare(comparison, sent, value)) != negated;
        Some(match quantifier {
            Quantifier::Any => sent.iter().any(fits),
            Quantifier::All => sent.iter().all(fits),
        })
    }

    /// Whether it lets only requests from some addresses through.
    pub fn is_of_one_place(&self) -> bool {
        let addresses = matches!(
            self.operator,
            Operator::Compares { comparison: Comparison::Address, negated: false, if_exists: false, .. }
        );
        addresses && self.values.iter().all(|value| network(value).is_some_and(|(_, bits)| bits >= 8))
    }
}
