//! The words of a line, in the order in which they are read.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};

/// Words that are still to be read.
#[derive(Debug)]
pub(super) struct Words(VecDeque<String>);

impl Words {
    /// What blanks separate, outside of double quotes.
    pub(super) fn of(line: &str) -> Result<Self> {
        let mut words = VecDeque::new();
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let (word, behind) = match rest.strip_prefix('"') {
                Some(inside) => quoted(inside)?,
                None => {
                    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    (rest[..end].to_owned(), &rest[end..])
                }
            };
            words.push_back(word);
            rest = behind.trim_start();
        }
        Ok(Self(words))
    }

    /// What blanks separate.
    pub(super) fn plain(line: &str) -> Self {
        Self(line.split_whitespace().map(str::to_owned).collect())
    }

    /// The next one, which must be there because `before` wants it.
    pub(super) fn expect(&mut self, before: &str) -> Result<String> {
        self.next()
            .with_context(|| format!("{before:?} wants a word after it"))
    }

    /// Takes the next one if it is this.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let is_it = self.0.front().is_some_and(|next| next == word);
        if is_it {
            self.0.pop_front();
        }
        is_it
    }

    /// The words to come.
    pub(super) fn peek(&self, ahead: usize) -> Option<&str> {
        self.0.get(ahead).map(String::as_str)
    }
}

impl Iterator for Words {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.pop_front()
    }
}

/// What is before the closing quote, with a backslash before quotes that belong to it; and what is behind.
fn quoted(text: &str) -> Result<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let behind = &text[at + 1..];
                ensure!(
                    behind.is_empty() || behind.starts_with(char::is_whitespace),
                    "there is no blank after the quotes of {word:?}"
                );
                return Ok((word, behind));
            }
            '\\' => word.extend(letters.next().map(|(_, letter)| letter)),
            letter => word.push(letter),
        }
    }
    anyhow::bail!("the quotes before {text:?} are never closed")
}
