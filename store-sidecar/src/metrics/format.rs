//! The two text formats of Prometheus.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older one, 0.0.4: what a person, or a scraper that says nothing, gets.
    Text,
}

impl Format {
    /// What whoever sends this `Accept` is answered: OpenMetrics if it is among what it asks for.
    pub fn accepted(accept: &str) -> Self {
        let essences = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
        let asked = essences.into_iter().any(|essence| essence.eq_ignore_ascii_case("application/openmetrics-text"));
        if asked { Self::OpenMetrics } else { Self::Text }
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A text of OpenMetrics in this format. In the older one a counter's family has the name of its samples, with
    /// `_total`, and nothing marks the end.
    pub(super) fn of(self, open_metrics: String) -> String {
        if self == Self::OpenMetrics {
            return open_metrics;
        }
        let counter = |line: &str| {
            let name = line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?;
            Some(name.to_owned())
        };
        let counters: std::collections::HashSet<String> = open_metrics.lines().filter_map(counter).collect();
        let mut text = String::with_capacity(open_metrics.len());
        for line in open_metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
            let described = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
            match described.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
                Some((kind, (name, rest))) if counters.contains(name) => {
                    text.push_str(&format!("{kind}{name}_total {rest}\n"));
                }
                _ => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain", "text/html,*/*;q=0.8", "application/openmetrics-text2"] {
            assert_eq!(Format::accepted(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn a_counters_family_is_named_as_its_samples_in_the_older_format() {
        let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"# TYPE b counter\"} 1\n# HELP b Age.\n# TYPE b gauge\n\
                    b 2.0\n# EOF\n";
        let text = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"# TYPE b counter\"} 1\n# HELP b Age.\n\
                    # TYPE b gauge\nb 2.0\n";
        assert_eq!(Format::Text.of(open.to_owned()), text);
        assert_eq!(Format::OpenMetrics.of(open.to_owned()), open);
    }
}
