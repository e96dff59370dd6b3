//! CBOR to JSON values and back, for CloudWatch's `rpc-v2-cbor`.
//!
//! Guarantees: tag 1 (an instant) becomes its number of epoch seconds, and a number under a member whose name is an
//! instant's in CloudWatch's model becomes tag 1 again. Byte strings (CloudWatch has none that we serve) become
//! base64 text. Never panics on hostile input: what is not CBOR is an error.

use base64::Engine as _;
use ciborium::value::{Integer, Value as Cbor};
use serde_json::{Map, Number, Value};

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the body is not CBOR")]
pub struct CborError(#[source] ciborium::de::Error<std::io::Error>);

/// Reads a body; an empty one is an empty map.
///
/// # Errors
/// When it is not CBOR.
pub fn decode(body: &[u8]) -> Result<Value, CborError> {
    if body.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let value: Cbor = ciborium::de::from_reader(body).map_err(CborError)?;
    Ok(to_json(value))
}

/// Writes a body.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut body = Vec::new();
    match ciborium::ser::into_writer(&from_json("", value), &mut body) {
        Ok(()) => body,
        Err(_) => vec![0xA0],
    }
}

/// Whether a member of CloudWatch's model is an instant (or a list of them).
pub(super) fn is_instant(member: &str) -> bool {
    member.ends_with("Timestamp")
        || member.ends_with("Timestamps")
        || matches!(member, "StartTime" | "EndTime" | "LastModified" | "CreationDate" | "LastUpdateDate")
}

fn to_json(value: Cbor) -> Value {
    match value {
        Cbor::Integer(number) => {
            let number = i128::from(number);
            i64::try_from(number).map_or_else(|_| Value::from(number as f64), Value::from)
        }
        Cbor::Float(number) => {
            Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        Cbor::Bytes(bytes) => Value::String(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Cbor::Text(text) => Value::String(text),
        Cbor::Bool(flag) => Value::Bool(flag),
        Cbor::Tag(_, inner) => to_json(*inner),
        Cbor::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Cbor::Map(entries) => Value::Object(
            entries
                .into_iter()
                .filter_map(|(key, value)| key.into_text().ok().map(|key| (key, to_json(value))))
                .collect(),
        ),
        _ => Value::Null,
    }
}

fn from_json(member: &str, value: &Value) -> Cbor {
    match value {
        Value::Null => Cbor::Null,
        Value::Bool(flag) => Cbor::Bool(*flag),
        Value::Number(number) if is_instant(member) => {
            Cbor::Tag(1, Box::new(Cbor::Float(number.as_f64().unwrap_or_default())))
        }
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cbor::Integer(Integer::from(whole)),
            None => Cbor::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Array(items) => Cbor::Array(items.iter().map(|item| from_json(member, item)).collect()),
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (Cbor::Text(name.clone()), from_json(name, value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instants_are_tagged_and_come_back_as_numbers() {
        let value = json!({"Timestamps": [1.5, 2], "Values": [0.5, 3], "Label": "x", "Flag": true});
        let bytes = encode(&value);
        let tagged = |pair: &[u8]| pair[0] == 0xC1 && matches!(pair[1], 0xF9..=0xFB);
        assert_eq!(bytes.windows(2).filter(|pair| tagged(pair)).count(), 2, "an instant is tag 1 over a float");
        let back = decode(&bytes).unwrap();
        assert_eq!(back["Timestamps"], json!([1.5, 2.0]));
        assert_eq!(back["Values"], json!([0.5, 3]));
        assert!(decode(&[0xFF, 0x00]).is_err());
        assert_eq!(decode(&[]).unwrap(), json!({}));
    }
}
