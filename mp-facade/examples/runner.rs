//! An object that is set up once, in a process of its own, and called many times: a finder of anagrams.

use std::collections::HashMap;

/// Words by the letters that they are made of.
struct Anagrams {
    by_letters: HashMap<String, Vec<String>>,
    asked: u32,
}

impl mp::ProcessRunnee for Anagrams {
    type Init = Vec<String>;
    type Args = String;
    type Out = Vec<String>;

    fn new(words: Vec<String>) -> mp::Result<Anagrams> {
        let mut by_letters: HashMap<String, Vec<String>> = HashMap::new();
        for word in words {
            by_letters.entry(letters(&word)).or_default().push(word);
        }
        println!("process {}: {} entries", std::process::id(), by_letters.len());
        Ok(Anagrams { by_letters, asked: 0 })
    }

    fn call(&mut self, word: String) -> mp::Result<Vec<String>> {
        self.asked += 1;
        let Some(found) = self.by_letters.get(&letters(&word)) else {
            mp::bail!("no word has the letters of '{word}'");
        };
        Ok(found.clone())
    }

    fn finish(self) -> mp::Result<()> {
        println!("process {}: asked {} times", std::process::id(), self.asked);
        Ok(())
    }
}

fn letters(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[mp::main]
fn main() -> mp::Result<()> {
    let words = ["listen", "silent", "enlist", "below", "elbow", "night", "thing"];
    let words = words.map(str::to_owned).to_vec();
    let anagrams = mp::ProcessRunner::builder::<Anagrams>(words).name("anagrams").start()?;
    println!("inlets: {:?}", anagrams.call("inlets".to_owned())?);

    // All of them are handed over before the first is asked for.
    let asked = ["bowel", "xyzzy", "night"];
    for word in asked {
        anagrams.restart(word.to_owned())?;
    }
    for word in asked {
        match anagrams.rejoin() {
            Ok(found) => println!("{word}: {found:?}"),
            Err(mp::RunnerError::Exception(error)) => println!("{word}: {}", error.message()),
            Err(other) => return Err(other.into()),
        }
    }
    anagrams.join()?;
    Ok(())
}
