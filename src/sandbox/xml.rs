//! Writing the XML bodies of EC2, IAM and STS.
//!
//! Guarantees: text is escaped, elements are closed. Never parses.

/// What stands inside a response's result element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmlBody(String);

impl XmlBody {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// EC2's answer to calls that only succeed: `<return>true</return>`.
    #[must_use]
    pub fn done() -> Self {
        let mut body = Self::new();
        body.text("return", "true");
        body
    }

    /// `<name>value</name>`.
    pub fn text(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let value = value.to_string();
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        escape_into(&mut self.0, &value);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// `<name>value</name>` when there is a value.
    pub fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// `<name>…</name>` around what `inside` writes.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut XmlBody)) -> &mut Self {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// `<name>` with one `<item>` (`member` for IAM) per value.
    pub fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut XmlBody, T),
    ) -> &mut Self {
        self.element(name, |list| {
            for value in values {
                list.element(item, |inside| write(inside, value));
            }
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` with XML's five special characters replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

fn escape_into(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_element() {
        let mut body = XmlBody::new();
        body.list("tagSet", "item", ["a<b&c"], |item, value| {
            item.text("key", value);
        });
        assert_eq!(body.as_str(), "<tagSet><item><key>a&lt;b&amp;c</key></item></tagSet>");
    }
}
