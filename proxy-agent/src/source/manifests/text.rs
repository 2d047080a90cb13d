//! Documents in a file, and their fields: YAML and JSON.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::Value;
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use super::super::convert::{FieldError, deserialize_with_path};

/// A document of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// Which of the file's documents, counted from 1.
    pub(super) number: usize,
    /// Lines of the file before the document.
    lines_before: u64,
    content: &'a str,
    is_json: bool,
}

/// Splits at `---` lines before parsing, so that one broken document does not take the others with it. Documents of nothing but
/// comments are not counted.
pub(super) fn split<'a>(file: &str, content: &'a str) -> Vec<Text<'a>> {
    if file.ends_with(".json") {
        return vec![Text {
            number: 1,
            lines_before: 0,
            content,
            is_json: true,
        }];
    }
    let mut documents = Vec::new();
    let (mut start, mut lines_before, mut offset) = (0, 0, 0);
    for (line, text) in (0..).zip(content.split_inclusive('\n')) {
        let end = offset;
        offset += text.len();
        if is_separator(text) {
            add(&mut documents, lines_before, &content[start..end]);
            (start, lines_before) = (offset, line + 1);
        }
    }
    add(&mut documents, lines_before, &content[start..]);
    documents
}

fn is_separator(line: &str) -> bool {
    let after = line.strip_prefix("---").map(str::trim_start);
    after.is_some_and(|after| after.is_empty() || (after.starts_with('#') && line.as_bytes()[3] != b'#'))
}

fn add<'a>(documents: &mut Vec<Text<'a>>, lines_before: u64, content: &'a str) {
    let is_blank = |line: &str| {
        let line = line.trim().trim_start_matches('\u{feff}');
        line.is_empty() || line.starts_with('#')
    };
    if !content.lines().all(is_blank) {
        let number = documents.len() + 1;
        documents.push(Text {
            number,
            lines_before,
            content,
            is_json: false,
        });
    }
}

/// Why a document could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextError {
    /// Line in the file, if known.
    pub(super) line: Option<u64>,
    pub(super) what: FieldError,
}

/// Something with fields: a document, or an object inside of a List.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Text(Text<'a>),
    Item(&'a Value, usize),
}

impl Source<'_> {
    /// Reads the fields that `T` has.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, TextError> {
        self.read_seed(std::marker::PhantomData)
    }

    /// Reads what `seed` says.
    pub(super) fn read_seed<T, S>(self, seed: S) -> Result<T, TextError>
    where
        S: for<'de> DeserializeSeed<'de, Value = T>,
    {
        match self {
            Self::Text(text) if text.is_json => json(text, seed),
            Self::Text(text) => yaml(text, seed),
            Self::Item(value, _) => deserialize_with_path(seed, value).map_err(|(path, error)| TextError {
                line: None,
                what: self.locate(FieldError::new(&path, error)),
            }),
        }
    }

    /// The field's path in the document.
    pub(super) fn locate(self, what: FieldError) -> FieldError {
        match self {
            Self::Text(_) => what,
            Self::Item(_, index) if what.field.is_empty() => FieldError {
                field: format!("items[{index}]"),
                ..what
            },
            Self::Item(_, index) => FieldError {
                field: format!("items[{index}].{}", what.field),
                ..what
            },
        }
    }
}

fn yaml<T, S>(text: Text<'_>, seed: S) -> Result<T, TextError>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    // The default budget is for input from strangers; a list of a large cluster is larger.
    let options = serde_saphyr::options! { with_snippet: false, budget: None };
    let mut path = None;
    let result =
        serde_saphyr::with_deserializer_from_str_with_options(text.content, options, |deserializer| {
            deserialize_with_path(seed, deserializer).map_err(|(at, error)| {
                path = Some(at);
                error
            })
        });
    result.map_err(|error| {
        let reason = UserMessageFormatter.format_message(error.without_snippet());
        let field = path.map_or_else(String::new, |path| FieldError::new(&path, "").field);
        let at = error
            .location()
            .map(|location| location.line())
            .filter(|&line| line > 0);
        let quoted = at.and_then(|line| quote(text.content, line)).unwrap_or_default();
        let line = at.map(|line| line + text.lines_before);
        TextError {
            line,
            what: FieldError {
                field,
                reason: format!("{reason}{quoted}"),
            },
        }
    })
}

/// The line that is wrong: the YAML library does not repeat the value.
fn quote(content: &str, line: u64) -> Option<String> {
    let line = content
        .lines()
        .nth(usize::try_from(line).ok()?.checked_sub(1)?)?
        .trim();
    (!line.is_empty()).then(|| format!(" in {line:?}"))
}

fn json<T, S>(text: Text<'_>, seed: S) -> Result<T, TextError>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let mut deserializer = serde_json::Deserializer::from_str(text.content);
    let value = deserialize_with_path(seed, &mut deserializer)
        .map_err(|(path, error)| json_error(&error, FieldError::new(&path, "").field))?;
    deserializer
        .end()
        .map_err(|error| json_error(&error, String::new()))?;
    Ok(value)
}

fn json_error(error: &serde_json::Error, field: String) -> TextError {
    let message = error.to_string();
    let reason = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(reason, _)| reason);
    let line = u64::try_from(error.line()).ok();
    TextError {
        line,
        what: FieldError {
            field,
            reason: reason.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(file: &str, content: &str) -> Vec<(usize, u64)> {
        split(file, content)
            .iter()
            .map(|text| (text.number, text.lines_before))
            .collect()
    }

    #[test]
    fn documents_are_split_at_separator_lines_and_empty_ones_are_not_counted() {
        let content = "# license\n---\na: 1\n--- # second\nb: 2\n---\n\n---   \nc: ---\n----: 4\n---5: 5\n";
        assert_eq!(numbers("x.yaml", content), [(1, 2), (2, 4), (3, 8)]);
        assert_eq!(numbers("x.yaml", "a: 1\r\n---\r\nb: 2"), [(1, 0), (2, 2)]);
        assert_eq!(numbers("x.yaml", "\n# nothing\n"), []);
        assert_eq!(numbers("x.json", "{}\n---\n"), [(1, 0)]);
    }

    #[test]
    fn an_error_tells_the_line_of_the_file_and_the_field() {
        let content = "a: {}\n---\nmetadata:\n  name: x\nports:\n- port: 1\n- port: many\n";
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only its shape counts")]
        struct Ports {
            ports: Vec<std::collections::BTreeMap<String, u16>>,
        }
        let second = Source::Text(split("x.yaml", content)[1]);
        let error = second.read::<Ports>().unwrap_err();
        assert_eq!(
            (error.line, error.what.field.as_str()),
            (Some(7), "ports[1].port")
        );

        let content = "{\n\"ports\": [\n{\"port\": \"many\"}]}";
        let error = Source::Text(split("x.json", content)[0])
            .read::<Ports>()
            .unwrap_err();
        assert_eq!(
            (error.line, error.what.field.as_str()),
            (Some(3), "ports[0].port")
        );
        assert_eq!(error.what.reason, "invalid type: string \"many\", expected u16");
    }
}
