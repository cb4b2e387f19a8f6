//! One item of a structured field (RFC 9651, section 3.3), with its parameters.

use std::convert::Infallible;

use sfv::{
    BareItemFromInput, KeyRef, Parser,
    visitor::{ItemVisitor, ParameterVisitor},
};

/// The bare items that are of use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Boolean(bool),
    /// A string, or a display string.
    Text(String),
    Token(String),
    /// A number, a date, bytes.
    Other,
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) bare: Bare,
    /// Each name once: of several of one name the last counts.
    pub(super) parameters: Vec<(String, Bare)>,
}

impl Field {
    /// Reads an item. None: it is not a valid one.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        Parser::new(value).parse_item_with_visitor(Reader).ok()
    }
}

struct Reader;

impl<'de> ItemVisitor<'de> for Reader {
    type Out = Field;
    type Error = Infallible;

    fn bare_item(
        self,
        bare: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = Self::Out>, Self::Error> {
        Ok(Field { bare: bare.into(), parameters: Vec::new() })
    }
}

impl<'de> ParameterVisitor<'de> for Field {
    type Out = Self;
    type Error = Infallible;

    fn parameter(&mut self, key: &'de KeyRef, value: BareItemFromInput<'de>) -> Result<(), Self::Error> {
        self.parameters.retain(|(name, _)| name != key.as_str());
        self.parameters.push((key.as_str().to_owned(), value.into()));
        Ok(())
    }

    fn finish(self) -> Result<Self::Out, Self::Error> {
        Ok(self)
    }
}

impl From<BareItemFromInput<'_>> for Bare {
    fn from(bare: BareItemFromInput<'_>) -> Self {
        match bare {
            BareItemFromInput::Boolean(value) => Self::Boolean(value),
            BareItemFromInput::String(text) => Self::Text(text.as_str().to_owned()),
            BareItemFromInput::DisplayString(text) => Self::Text(text.into_owned()),
            BareItemFromInput::Token(token) => Self::Token(token.as_str().to_owned()),
            BareItemFromInput::ByteSequence(_)
            | BareItemFromInput::Date(_)
            | BareItemFromInput::Decimal(_)
            | BareItemFromInput::Integer(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_read_as_rfc_9651_has_it() {
        let field =
            Field::parse(br#""al\"ice";scopes="read write";pending_2fa;class=remember;class="browser""#).unwrap();
        assert_eq!(field.bare, Bare::Text("al\"ice".to_owned()));
        let expected = [
            ("scopes", Bare::Text("read write".to_owned())),
            ("pending_2fa", Bare::Boolean(true)),
            ("class", Bare::Text("browser".to_owned())),
        ];
        assert_eq!(field.parameters, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(Field::parse("%\"zo%c3%ab\"".as_bytes()).unwrap().bare, Bare::Text("zoë".to_owned()));
        assert_eq!(Field::parse(b"current").unwrap().bare, Bare::Token("current".to_owned()));
        assert_eq!(Field::parse(b"?1").unwrap().bare, Bare::Boolean(true));
        assert_eq!(Field::parse(b"7").unwrap().bare, Bare::Other);
    }

    #[test]
    fn what_is_no_item_fails_as_a_whole() {
        for bad in ["", "\"alice", "\"alice\" x", "\"a\", \"b\"", "\"zo\u{eb}\"", "\"a\";Scopes=\"x\"", "(\"a\")", "?2"]
        {
            assert_eq!(Field::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
