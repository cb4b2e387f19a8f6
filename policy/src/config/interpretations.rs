//! What upstreams may make of a request.

use super::raw::RawUpstreamInterpretations;
use crate::http::upstream_interpretations::{Interpretation, UpstreamInterpretations};

pub(super) fn interpretations(raw: &RawUpstreamInterpretations) -> UpstreamInterpretations {
    let set = UpstreamInterpretations::default();
    named(raw).into_iter().fold(set, |set, (interpretation, on)| on.map_or(set, |on| set.with(interpretation, on)))
}

fn named(raw: &RawUpstreamInterpretations) -> [(Interpretation, Option<bool>); 16] {
    // Every field is named here, so that a new one does not compile until it switches something.
    let RawUpstreamInterpretations {
        backslashes_as_slashes,
        case_insensitive_methods,
        case_insensitive_paths,
        decoded_query_delimiters,
        dot_segments,
        format_suffixes,
        forwarded_host_headers,
        forwarded_path_headers,
        merged_slashes,
        method_override_headers,
        method_override_query,
        ntfs_streams,
        path_override_headers,
        path_parameters,
        percent_decoding,
        trailing_dots_and_spaces,
    } = *raw;
    [
        (Interpretation::BackslashesAsSlashes, backslashes_as_slashes),
        (Interpretation::CaseInsensitiveMethods, case_insensitive_methods),
        (Interpretation::CaseInsensitivePaths, case_insensitive_paths),
        (Interpretation::DecodedQueryDelimiters, decoded_query_delimiters),
        (Interpretation::DotSegments, dot_segments),
        (Interpretation::FormatSuffixes, format_suffixes),
        (Interpretation::ForwardedHostHeaders, forwarded_host_headers),
        (Interpretation::ForwardedPathHeaders, forwarded_path_headers),
        (Interpretation::MergedSlashes, merged_slashes),
        (Interpretation::MethodOverrideHeaders, method_override_headers),
        (Interpretation::MethodOverrideQuery, method_override_query),
        (Interpretation::NtfsStreams, ntfs_streams),
        (Interpretation::PathOverrideHeaders, path_override_headers),
        (Interpretation::PathParameters, path_parameters),
        (Interpretation::PercentDecoding, percent_decoding),
        (Interpretation::TrailingDotsAndSpaces, trailing_dots_and_spaces),
    ]
}
