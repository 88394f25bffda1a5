//! CBOR, the format of CloudWatch, from and to JSON. Values that JSON lacks are written as
//! `{"$time": seconds}` and `{"$float": "NaN"}`.

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::{Decoder, Encoder};
use serde_json::{Value, json};

pub fn encode(value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, value);
    encoder.into_writer()
}

fn write(encoder: &mut Encoder, value: &Value) {
    match value {
        Value::Null => encoder.null(),
        Value::Bool(value) => encoder.boolean(*value),
        Value::String(text) => encoder.str(text),
        Value::Number(number) => match number.as_i64() {
            Some(number) => encoder.long(number),
            None => encoder.double(number.as_f64().unwrap()),
        },
        Value::Array(items) => {
            encoder.array(items.len());
            items.iter().for_each(|item| write(encoder, item));
            encoder
        }
        Value::Object(fields) => match (fields.get("$time"), fields.get("$float")) {
            (Some(time), _) => encoder.timestamp(&DateTime::from_secs(time.as_i64().unwrap())),
            (_, Some(float)) => encoder.double(float.as_str().unwrap().parse().unwrap()),
            _ => {
                encoder.map(fields.len());
                for (name, field) in fields {
                    encoder.str(name);
                    write(encoder, field);
                }
                encoder
            }
        },
    };
}

pub fn decode(bytes: &[u8]) -> Value {
    read(&mut Decoder::new(bytes))
}

fn read(decoder: &mut Decoder<'_>) -> Value {
    match decoder.datatype().unwrap() {
        Type::Null => {
            decoder.null().unwrap();
            Value::Null
        }
        Type::Bool => decoder.boolean().unwrap().into(),
        Type::String | Type::StringIndef => decoder.string().unwrap().into(),
        Type::F16 | Type::F32 | Type::F64 => decoder.double().unwrap().into(),
        Type::Tag => json!({ "$time": decoder.timestamp().unwrap().secs() }),
        Type::Array | Type::ArrayIndef => {
            let length = decoder.list().unwrap();
            let mut items = Vec::new();
            while more(decoder, length, items.len()) {
                items.push(read(decoder));
            }
            items.into()
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map().unwrap();
            let mut fields = serde_json::Map::new();
            while more(decoder, length, fields.len()) {
                let name = decoder.string().unwrap();
                fields.insert(name, read(decoder));
            }
            fields.into()
        }
        _ => decoder.long().unwrap().into(),
    }
}

/// Whether another item follows, in a collection of known length or one that ends with a break.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, read: usize) -> bool {
    match length {
        Some(length) => (read as u64) < length,
        None if decoder.datatype().unwrap() == Type::Break => {
            decoder.skip().unwrap();
            false
        }
        None => true,
    }
}
