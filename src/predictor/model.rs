//! The model: a linear regression from an applicant's record to the chance of admission.
//!
//! Source of the data: Mohan S. Acharya, "Graduate Admission 2" (Admission_Predict_Ver1.1), Kaggle, CC0; 500 records.
//! The coefficients are the ordinary-least-squares solution over all 500, solved in exact rational arithmetic and
//! rounded once to `f64`. In-sample R² = 0.8219.
//!
//! Guarantees: pure; the answer lies in [0, 1]. Never validates: see `applicant` for that.

use super::Applicant;

const INTERCEPT: f64 = -1.275_725_082_996_988;
const GRE_SCORE: f64 = 0.001_858_506_485_010_212;
const TOEFL_SCORE: f64 = 0.002_777_972_391_419_570_4;
const UNIVERSITY_RATING: f64 = 0.005_941_368_040_176_775;
const SOP: f64 = 0.001_586_137_455_766_644;
const LOR: f64 = 0.016_858_742_352_418_712;
const CGPA: f64 = 0.118_385_053_457_738_03;
const RESEARCH: f64 = 0.024_307_478_582_166_024;

/// The chance of admission, between 0 and 1.
///
/// Linear, R² = 0.8219 on the data it was fitted to; clamped, since a line does not know where chances end.
#[must_use]
pub fn chance_of_admit(applicant: &Applicant) -> f64 {
    let chance = INTERCEPT
        + GRE_SCORE * applicant.gre_score
        + TOEFL_SCORE * applicant.toefl_score
        + UNIVERSITY_RATING * applicant.university_rating
        + SOP * applicant.sop
        + LOR * applicant.lor
        + CGPA * applicant.cgpa
        + if applicant.research { RESEARCH } else { 0.0 };
    chance.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXERCISE: Applicant = Applicant {
        gre_score: 300.0,
        toefl_score: 100.0,
        university_rating: 4.0,
        sop: 3.0,
        lor: 4.0,
        cgpa: 8.90,
        research: true,
    };

    #[test]
    fn the_exercise_gets_its_known_answer() {
        let chance = chance_of_admit(&EXERCISE);
        assert!((chance - 0.7335).abs() <= 0.0005, "{chance}");
    }

    #[test]
    fn research_helps_by_its_own_coefficient() {
        let without = Applicant { research: false, ..EXERCISE };
        let difference = chance_of_admit(&EXERCISE) - chance_of_admit(&without);
        assert!((difference - RESEARCH).abs() < 1e-12);
    }

    #[test]
    fn the_answer_stays_a_chance_at_both_ends() {
        let best = Applicant {
            gre_score: 340.0,
            toefl_score: 120.0,
            university_rating: 5.0,
            sop: 5.0,
            lor: 5.0,
            cgpa: 10.0,
            research: true,
        };
        let worst = Applicant {
            gre_score: 260.0,
            toefl_score: 0.0,
            university_rating: 1.0,
            sop: 1.0,
            lor: 1.0,
            cgpa: 0.0,
            research: false,
        };
        assert_eq!(chance_of_admit(&best), 1.0);
        assert_eq!(chance_of_admit(&worst), 0.0);
    }
}
