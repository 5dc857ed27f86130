//! The nearest known name, for "did you mean".

/// Longer names are not compared: nobody mistypes them, and hostile ones would cost time.
const LONGEST: usize = 64;

/// The candidate with the fewest edits from `name`, if a person may have meant it.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name: Vec<char> = name.chars().take(LONGEST + 1).collect();
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.chars().take(LONGEST + 1).collect();
            if letters.len().abs_diff(name.len()) > allowed {
                return None;
            }
            // A slip of case is the smallest.
            let edits = distance(&lowercase(&name), &lowercase(&letters));
            (edits <= allowed && edits < name.len()).then(|| (edits, distance(&name, &letters), candidate))
        })
        .min()
        .map(|(.., candidate)| candidate.to_owned())
}

/// The end of a message about an unknown name.
pub(crate) fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

fn lowercase(letters: &[char]) -> Vec<char> {
    letters.iter().flat_map(|letter| letter.to_lowercase()).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not_offered() {
        let names = ["gelu", "relu", "selu", "softmax", "sigmoid"];
        assert_eq!(nearest("gelou", names).as_deref(), Some("gelu"));
        assert_eq!(nearest("sotfmax", names).as_deref(), Some("softmax"));
        assert_eq!(nearest("RELU", names).as_deref(), Some("relu"));
        assert_eq!(nearest("attention", names), None);
        assert_eq!(nearest(&"g".repeat(100_000), names), None);
    }
}
