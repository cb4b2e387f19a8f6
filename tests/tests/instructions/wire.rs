//! Header maps as proxy-wasm hands them over: how many, the lengths of all names and values, then each of them with a
//! zero byte behind it.

use anyhow::{Context as _, Result};

/// Names and values of a message's headers.
pub type HeaderMap = Vec<(String, String)>;

pub fn serialize(map: &HeaderMap) -> Result<Vec<u8>> {
    let texts = || map.iter().flat_map(|(name, value)| [name, value]);
    let numbers = [map.len()].into_iter().chain(texts().map(String::len));
    let mut bytes = Vec::new();
    for number in numbers {
        bytes.extend(u32::try_from(number)?.to_le_bytes());
    }
    bytes.extend(texts().flat_map(|text| text.bytes().chain([0])));
    Ok(bytes)
}

pub fn deserialize(mut bytes: &[u8]) -> Result<HeaderMap> {
    let count = take_number(&mut bytes)?;
    let lengths = (0..count).map(|_| Ok((take_number(&mut bytes)?, take_number(&mut bytes)?)));
    let lengths = lengths.collect::<Result<Vec<_>>>()?;
    lengths.into_iter().map(|(name, value)| Ok((take_text(&mut bytes, name)?, take_text(&mut bytes, value)?))).collect()
}

fn take_number(bytes: &mut &[u8]) -> Result<u32> {
    let (number, rest) = bytes.split_first_chunk().context("a number is cut off")?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number))
}

fn take_text(bytes: &mut &[u8], length: u32) -> Result<String> {
    let (text, rest) = bytes.split_at_checked(length as usize).context("a text is cut off")?;
    *bytes = rest.split_first().context("a text has no end")?.1;
    Ok(String::from_utf8(text.to_vec())?)
}
