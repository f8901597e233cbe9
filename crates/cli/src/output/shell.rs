//! Words, lines and comments for a POSIX shell. What comes from a cluster or from a flag stays one word, and ends no line.

use super::plain;

/// A word, quoted where a shell would take it for something else.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    // A word that begins with = is expanded by zsh.
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('=') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A comment on one line.
pub(crate) fn comment(text: &str) -> String {
    format!("# {}", plain(text))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_takes_a_word_for_what_it_is() {
        for text in [
            "plain", "", "a b", "it's", "$(id)", "`id`", "a\nb", "-n", "~", "*", "\\", "a;b", "#", "!x", "=x",
        ] {
            let command = format!("printf %s {}", word(text));
            let said = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text, "{command}");
        }
        assert_eq!(
            word("westeurope"),
            "westeurope",
            "nobody wants to read quotes that do nothing"
        );
    }

    #[test]
    fn a_comment_ends_where_its_line_ends() {
        assert_eq!(comment("a\nrm -rf /\r\u{85}b"), "# a rm -rf /  b");
    }
}
