//! Requests to CloudWatch, from CBOR.

use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, data::Type};

type Decoded<T> = Result<T, DeserializeError>;

/// A name and a value.
pub(crate) type Dimension = (String, String);

#[derive(Debug, Default)]
pub(crate) struct ListRequest {
    pub(crate) namespace: Option<String>,
    pub(crate) metric: Option<String>,
    pub(crate) dimensions: Vec<(String, Option<String>)>,
    pub(crate) recently_active: Option<String>,
    pub(crate) token: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) id: String,
    pub(crate) has_metric: bool,
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) period: i64,
    pub(crate) stat: String,
    pub(crate) returns_data: bool,
}

#[derive(Debug, Default)]
pub(crate) struct GetRequest {
    pub(crate) queries: Vec<Query>,
    pub(crate) start: Option<f64>,
    pub(crate) end: Option<f64>,
    pub(crate) ascending: bool,
    pub(crate) token: Option<String>,
    pub(crate) most: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct Datum {
    pub(crate) metric: String,
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) time: Option<f64>,
    pub(crate) value: Option<f64>,
    pub(crate) values: Vec<f64>,
    pub(crate) counts: Vec<f64>,
    pub(crate) statistics: bool,
}

#[derive(Debug, Default)]
pub(crate) struct PutRequest {
    pub(crate) namespace: String,
    pub(crate) datums: Vec<Datum>,
}

pub(crate) fn list(bytes: &[u8]) -> Decoded<ListRequest> {
    let mut request = ListRequest::default();
    fields(&mut Decoder::new(bytes), |name, decoder| {
        match name {
            "Namespace" => request.namespace = Some(decoder.string()?),
            "MetricName" => request.metric = Some(decoder.string()?),
            "RecentlyActive" => request.recently_active = Some(decoder.string()?),
            "NextToken" => request.token = Some(decoder.string()?),
            "Dimensions" => request.dimensions = items(decoder, named)?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(request)
}

pub(crate) fn get(bytes: &[u8]) -> Decoded<GetRequest> {
    let mut request = GetRequest::default();
    fields(&mut Decoder::new(bytes), |name, decoder| {
        match name {
            "MetricDataQueries" => request.queries = items(decoder, query)?,
            "StartTime" => request.start = Some(time(decoder)?),
            "EndTime" => request.end = Some(time(decoder)?),
            "ScanBy" => request.ascending = decoder.str()? == "TimestampAscending",
            "NextToken" => request.token = Some(decoder.string()?),
            "MaxDatapoints" => request.most = Some(decoder.long()?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(request)
}

fn query(decoder: &mut Decoder<'_>) -> Decoded<Query> {
    let mut query = Query { returns_data: true, ..Query::default() };
    fields(decoder, |name, decoder| {
        match name {
            "Id" => query.id = decoder.string()?,
            "ReturnData" => query.returns_data = decoder.boolean()?,
            "MetricStat" => {
                query.has_metric = true;
                fields(decoder, |name, decoder| {
                    match name {
                        "Period" => query.period = decoder.long()?,
                        "Stat" => query.stat = decoder.string()?,
                        "Metric" => fields(decoder, |name, decoder| {
                            match name {
                                "Namespace" => query.namespace = decoder.string()?,
                                "MetricName" => query.metric = decoder.string()?,
                                "Dimensions" => query.dimensions = items(decoder, dimension)?,
                                _ => decoder.skip()?,
                            }
                            Ok(())
                        })?,
                        _ => decoder.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(query)
}

pub(crate) fn put(bytes: &[u8]) -> Decoded<PutRequest> {
    let mut request = PutRequest::default();
    fields(&mut Decoder::new(bytes), |name, decoder| {
        match name {
            "Namespace" => request.namespace = decoder.string()?,
            "MetricData" => request.datums = items(decoder, datum)?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(request)
}

fn datum(decoder: &mut Decoder<'_>) -> Decoded<Datum> {
    let mut datum = Datum::default();
    fields(decoder, |name, decoder| {
        match name {
            "MetricName" => datum.metric = decoder.string()?,
            "Dimensions" => datum.dimensions = items(decoder, dimension)?,
            "Timestamp" => datum.time = Some(time(decoder)?),
            "Value" => datum.value = Some(number(decoder)?),
            "Values" => datum.values = items(decoder, number)?,
            "Counts" => datum.counts = items(decoder, number)?,
            name => {
                datum.statistics |= name == "StatisticValues";
                decoder.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(datum)
}

fn dimension(decoder: &mut Decoder<'_>) -> Decoded<Dimension> {
    named(decoder).map(|(name, value)| (name, value.unwrap_or_default()))
}

fn named(decoder: &mut Decoder<'_>) -> Decoded<(String, Option<String>)> {
    let mut named = (String::new(), None);
    fields(decoder, |name, decoder| {
        match name {
            "Name" => named.0 = decoder.string()?,
            "Value" => named.1 = Some(decoder.string()?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(named)
}

fn time(decoder: &mut Decoder<'_>) -> Decoded<f64> {
    Ok(decoder.timestamp()?.as_secs_f64())
}

fn number(decoder: &mut Decoder<'_>) -> Decoded<f64> {
    match decoder.datatype()? {
        Type::F16 | Type::F32 | Type::F64 => decoder.double(),
        _ => Ok(decoder.long()? as f64),
    }
}

/// Goes through a map; null counts as left out.
fn fields<'b>(
    decoder: &mut Decoder<'b>,
    mut each: impl FnMut(&str, &mut Decoder<'b>) -> Decoded<()>,
) -> Decoded<()> {
    let length = decoder.map()?;
    let mut read = 0;
    while more(decoder, length, &mut read)? {
        let name = decoder.str()?;
        match decoder.datatype()? {
            Type::Null => decoder.skip()?,
            _ => each(&name, decoder)?,
        }
    }
    Ok(())
}

fn items<'b, T>(
    decoder: &mut Decoder<'b>,
    each: impl Fn(&mut Decoder<'b>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    let length = decoder.list()?;
    let mut items = Vec::new();
    let mut read = 0;
    while more(decoder, length, &mut read)? {
        items.push(each(decoder)?);
    }
    Ok(items)
}

/// Whether another item follows, in a collection of known length or one that ends with a break.
fn more(decoder: &mut Decoder<'_>, length: Option<u64>, read: &mut u64) -> Decoded<bool> {
    let more = match length {
        Some(length) => *read < length,
        None if decoder.datatype()? == Type::Break => {
            decoder.skip()?;
            false
        }
        None => true,
    };
    *read += 1;
    Ok(more)
}
