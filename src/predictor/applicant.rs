//! From JSON to an applicant, or to everything that is wrong with it.
//!
//! Guarantees: all mistakes are named in one go: missing, unknown (with the nearest valid name), of the wrong kind and
//! out of range; an echoed value is bounded. Never guesses: what is not plainly valid is refused.

use serde::Serialize;
use serde_json::{Map, Value};

const LONGEST_ECHO: usize = 80;
const LIKELY: f64 = 0.55;

/// What the model is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applicant {
    /// GRE score, 260 to 340.
    pub gre_score: f64,
    /// TOEFL score, 0 to 120.
    pub toefl_score: f64,
    /// Rating of the university, 1 to 5.
    pub university_rating: f64,
    /// Strength of the statement of purpose, 1 to 5 in half points.
    pub sop: f64,
    /// Strength of the letters of recommendation, 1 to 5 in half points.
    pub lor: f64,
    /// Undergraduate grade point average, 0 to 10.
    pub cgpa: f64,
    /// Whether there is research experience.
    pub research: bool,
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldError {
    /// The field as the request (or, when missing, as this service) calls it.
    pub field: String,
    /// What was sent; `null` when missing.
    pub value: Value,
    /// What would have been right.
    pub expected: String,
}

struct Range {
    field: &'static str,
    least: f64,
    most: f64,
    /// The value must be a multiple of this; none when any value will do.
    step: Option<f64>,
}

const GRE_SCORE: Range = Range { field: "gre_score", least: 260.0, most: 340.0, step: Some(1.0) };
const TOEFL_SCORE: Range = Range { field: "toefl_score", least: 0.0, most: 120.0, step: Some(1.0) };
const UNIVERSITY_RATING: Range = Range { field: "university_rating", least: 1.0, most: 5.0, step: Some(1.0) };
const SOP: Range = Range { field: "sop", least: 1.0, most: 5.0, step: Some(0.5) };
const LOR: Range = Range { field: "lor", least: 1.0, most: 5.0, step: Some(0.5) };
const CGPA: Range = Range { field: "cgpa", least: 0.0, most: 10.0, step: None };
const RESEARCH: &str = "research";
const RESEARCH_EXPECTED: &str = "\"Yes\" or \"No\" (or true/false, 1/0)";
const FIELDS: [&str; 7] = ["gre_score", "toefl_score", "university_rating", "sop", "lor", "cgpa", "research"];

impl Range {
    fn expected(&self) -> String {
        let kind = match self.step {
            Some(1.0) => "a whole number",
            Some(_) => "a number in whole or half points",
            None => "a number",
        };
        format!("{kind} from {} to {}", self.least, self.most)
    }

    fn admits(&self, number: f64) -> bool {
        (self.least..=self.most).contains(&number) && self.step.is_none_or(|step| (number / step).fract() == 0.0)
    }

    fn read(&self, members: &Map<String, Value>, errors: &mut Vec<FieldError>) -> f64 {
        match members.get(self.field) {
            Some(value) => match value.as_f64().filter(|number| self.admits(*number)) {
                Some(number) => return number,
                None => errors.push(wrong(self.field, value, self.expected())),
            },
            None => errors.push(missing(self.field, &self.expected())),
        }
        self.least
    }
}

impl Applicant {
    /// Reads an applicant.
    ///
    /// # Errors
    /// Every mistake, in the order of the fields, unknown fields last.
    pub fn from_json(value: &Value) -> Result<Self, Vec<FieldError>> {
        let Some(members) = value.as_object() else {
            let expected = format!("a JSON object with {}", FIELDS.join(", "));
            return Err(vec![wrong("(body)", value, expected)]);
        };
        let mut errors = Vec::new();
        let applicant = Self {
            gre_score: GRE_SCORE.read(members, &mut errors),
            toefl_score: TOEFL_SCORE.read(members, &mut errors),
            university_rating: UNIVERSITY_RATING.read(members, &mut errors),
            sop: SOP.read(members, &mut errors),
            lor: LOR.read(members, &mut errors),
            cgpa: CGPA.read(members, &mut errors),
            research: read_research(members, &mut errors),
        };
        for (name, value) in members {
            if !FIELDS.contains(&name.as_str()) {
                errors.push(wrong(&shortened(name), value, unknown(name)));
            }
        }
        if errors.is_empty() { Ok(applicant) } else { Err(errors) }
    }
}

fn read_research(members: &Map<String, Value>, errors: &mut Vec<FieldError>) -> bool {
    let Some(value) = members.get(RESEARCH) else {
        errors.push(missing(RESEARCH, RESEARCH_EXPECTED));
        return false;
    };
    let understood = match value {
        Value::Bool(answer) => Some(*answer),
        Value::String(text) if text.eq_ignore_ascii_case("yes") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("no") => Some(false),
        Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
        _ => None,
    };
    understood.unwrap_or_else(|| {
        errors.push(wrong(RESEARCH, value, RESEARCH_EXPECTED.to_owned()));
        false
    })
}

fn missing(field: &str, expected: &str) -> FieldError {
    FieldError { field: field.to_owned(), value: Value::Null, expected: format!("{expected} (the field is missing)") }
}

fn wrong(field: &str, value: &Value, expected: String) -> FieldError {
    let text = value.to_string();
    let value = if text.len() > LONGEST_ECHO { Value::String(shortened(&text)) } else { value.clone() };
    FieldError { field: field.to_owned(), value, expected }
}

fn unknown(name: &str) -> String {
    let plain: String = shortened(name).to_lowercase().replace([' ', '-', '.'], "_");
    let likeness = |field: &&str| {
        if !plain.is_empty() && field.split('_').any(|part| part == plain) {
            1.0
        } else {
            strsim::jaro_winkler(&plain, field)
        }
    };
    let nearest = FIELDS
        .iter()
        .map(|field| (likeness(field), *field))
        .filter(|(likeness, _)| *likeness >= LIKELY)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((_, field)) => format!("no such field; did you mean {field}?"),
        None => format!("no such field; the fields are {}", FIELDS.join(", ")),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST_ECHO {
        return text.to_owned();
    }
    text.chars().take(LONGEST_ECHO).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exercise() -> Value {
        json!({"gre_score": 300, "toefl_score": 100, "university_rating": 4, "sop": 3, "lor": 4, "cgpa": 8.90,
               "research": "Yes"})
    }

    fn with(field: &str, value: Value) -> Result<Applicant, Vec<FieldError>> {
        let mut request = exercise();
        request[field] = value;
        Applicant::from_json(&request)
    }

    #[test]
    fn both_ends_of_each_range_are_inside_it() {
        let ranges = [
            ("gre_score", 260, 340),
            ("toefl_score", 0, 120),
            ("university_rating", 1, 5),
            ("sop", 1, 5),
            ("lor", 1, 5),
            ("cgpa", 0, 10),
        ];
        for (field, least, most) in ranges {
            for (value, fits) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
                assert_eq!(with(field, json!(value)).is_ok(), fits, "{field} {value}");
            }
        }
    }

    #[test]
    fn half_points_are_for_letters_and_statements_only() {
        assert!(with("sop", json!(3.5)).is_ok() && with("lor", json!(4.5)).is_ok());
        assert!(with("sop", json!(3.25)).is_err());
        assert!(with("university_rating", json!(3.5)).is_err());
        assert!(with("gre_score", json!(300.0)).is_ok());
    }

    #[test]
    fn research_is_understood_in_all_its_spellings() {
        for (value, answer) in [
            (json!("Yes"), true),
            (json!("yEs"), true),
            (json!(true), true),
            (json!(1), true),
            (json!("NO"), false),
            (json!(false), false),
            (json!(0), false),
        ] {
            assert_eq!(with("research", value.clone()).unwrap().research, answer, "{value}");
        }
        for value in [json!("maybe"), json!(2), json!(null), json!([])] {
            assert_eq!(with("research", value).unwrap_err()[0].field, "research");
        }
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = Applicant::from_json(
            &json!({"gre_score": 3000, "toefl": 100, "university_rating": "4", "sop": 3, "lor": 4, "research": "Yes"}),
        )
        .unwrap_err();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["gre_score", "toefl_score", "university_rating", "cgpa", "toefl"]);
        assert_eq!(errors[0].expected, "a whole number from 260 to 340");
        assert_eq!(errors[0].value, json!(3000));
        assert_eq!(errors[3].value, Value::Null);
        assert!(errors[4].expected.contains("did you mean toefl_score?"), "{}", errors[4].expected);
    }

    #[test]
    fn a_long_value_is_not_echoed_in_full() {
        let errors = with("research", json!("x".repeat(10_000))).unwrap_err();
        assert!(errors[0].value.as_str().unwrap().chars().count() <= LONGEST_ECHO + 1);
    }

    #[test]
    fn what_is_no_object_is_told_so() {
        assert_eq!(Applicant::from_json(&json!([1, 2])).unwrap_err()[0].field, "(body)");
    }
}
