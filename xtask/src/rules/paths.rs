//! Finds the paths that Rust source names: `a::b`, and what the trees of `use` declarations expand to.

/// A path with where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Segments joined by `::`; a glob import ends with `::*`.
    pub(super) text: String,
    /// From 1.
    pub(super) line: usize,
    /// Whether a `use` declaration names it.
    pub(super) is_import: bool,
}

/// All paths of a file. Comments and strings hold none.
pub(super) fn in_source(text: &str) -> Vec<Path> {
    let tokens = tokens(&without_comments_and_strings(text));
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
    };
    let mut paths = Vec::new();
    while let Some(token) = reader.next() {
        if token.text == "use" {
            reader.tree("", &mut paths);
        } else if is_name(&token.text) {
            let text = reader.rest_of_path(token.text.clone());
            // A single name is a path only as an import; here it is a variable, a field, a keyword.
            if text.contains("::") {
                paths.push(Path {
                    text,
                    line: token.line,
                    is_import: false,
                });
            }
        }
    }
    paths
}

struct Token {
    text: String,
    line: usize,
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        self.at += 1;
        self.tokens.get(self.at - 1)
    }

    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|token| token.text.as_str())
    }

    fn rest_of_path(&mut self, mut path: String) -> String {
        while self.peek() == Some("::")
            && self
                .tokens
                .get(self.at + 1)
                .is_some_and(|next| is_name(&next.text))
        {
            path = format!("{path}::{}", self.tokens[self.at + 1].text);
            self.at += 2;
        }
        path
    }

    /// Reads `a::{b, c::d as e, *}` and what nests in it.
    fn tree(&mut self, prefix: &str, paths: &mut Vec<Path>) {
        if self.peek() == Some("::") {
            self.at += 1;
        }
        let Some(token) = self.next() else { return };
        match token.text.as_str() {
            "{" => return self.branches(prefix, paths),
            "*" => return paths.push(import(&format!("{prefix}::*"), token.line)),
            _ => {}
        }
        let path = if prefix.is_empty() {
            token.text.clone()
        } else {
            format!("{prefix}::{}", token.text)
        };
        let path = self.rest_of_path(path);
        if self.peek() == Some("::") {
            return self.tree(&path, paths);
        }
        paths.push(import(&path, token.line));
        if self.peek() == Some("as") {
            self.at += 2;
        }
    }

    fn branches(&mut self, prefix: &str, paths: &mut Vec<Path>) {
        while let Some(next) = self.peek() {
            match next {
                "}" => {
                    self.at += 1;
                    return;
                }
                "," => self.at += 1,
                _ => self.tree(prefix, paths),
            }
        }
    }
}

fn import(text: &str, line: usize) -> Path {
    Path {
        text: text.to_owned(),
        line,
        is_import: true,
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single other characters.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let name = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let length = match name {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                _ => name,
            };
            if !first.is_whitespace() {
                tokens.push(Token {
                    text: rest[..length].to_owned(),
                    line: index + 1,
                });
            }
            rest = &rest[length..];
        }
    }
    tokens
}

/// Blanks line comments and string literals, keeps line breaks. Block comments are not the style here.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(quote) = opening_quote(rest, code.chars().next_back()) {
            quote.length_in(rest)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        rest = &rest[skipped..];
    }
    code
}

enum Quote {
    /// `"…"` with escapes.
    Plain,
    /// `r#"…"#` with this many signs.
    Raw(usize),
    /// `'"'` and `'\''`: a character that would look like the begin of a string.
    Character(usize),
}

fn opening_quote(rest: &str, before: Option<char>) -> Option<Quote> {
    for literal in ["'\"'", "'\\\"'", "'\\''"] {
        if rest.starts_with(literal) {
            return Some(Quote::Character(literal.len()));
        }
    }
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_') && before != Some('b');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_name) {
        let signs = raw.len() - raw.trim_start_matches('#').len();
        return raw[signs..].starts_with('"').then_some(Quote::Raw(signs));
    }
    rest.starts_with('"').then_some(Quote::Plain)
}

impl Quote {
    /// How long the literal at the begin of `text` is, in bytes.
    fn length_in(&self, text: &str) -> usize {
        match self {
            Self::Character(length) => *length,
            Self::Raw(signs) => {
                let (begin, end) = (signs + 2, format!("\"{}", "#".repeat(*signs)));
                text[begin..]
                    .find(&end)
                    .map_or(text.len(), |at| begin + at + end.len())
            }
            Self::Plain => {
                let mut escaped = false;
                let is_end = |(_, c): &(usize, char)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                };
                text.char_indices()
                    .skip(1)
                    .find(is_end)
                    .map_or(text.len(), |(at, _)| at + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        in_source(source).into_iter().map(|path| path.text).collect()
    }

    #[test]
    fn trees_of_imports_are_expanded() {
        let source = "use a::{self, b::{c, d as e}, f::*};\npub(crate) use ::g;\nuse h as i;";
        assert_eq!(
            texts(source),
            ["a::self", "a::b::c", "a::b::d", "a::f::*", "g", "h"]
        );
    }

    #[test]
    fn paths_in_expressions_and_types_are_found_with_their_line() {
        let found = in_source("fn f(x: a::B)\n    -> Vec<c::D<e::F>> {\n    ::g::h::<u8>(x.y)\n}");
        let found: Vec<_> = found.iter().map(|path| (path.text.as_str(), path.line)).collect();
        assert_eq!(found, [("a::B", 1), ("c::D", 2), ("e::F", 2), ("g::h", 3)]);
    }

    #[test]
    fn comments_and_strings_hold_no_paths() {
        let source = r####"
            // a::b
            /// [c::d]
            let x = "e::f \" g::h";
            let y = r#"i::j " k::l"#;
            let z = ['"', '\'', '\\'];
            let w = b"m::n";
            o::p();
        "####;
        assert_eq!(texts(source), ["o::p"]);
    }

    #[test]
    fn an_unfinished_file_is_read_to_its_end() {
        for source in ["use", "use a::{b", "use a::", "\"open", "r#\"open", "a::"] {
            texts(source);
        }
    }
}
