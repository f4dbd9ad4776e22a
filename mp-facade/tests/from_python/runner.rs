struct Anagrams {
    words: Vec<String>,
}

impl mp::ProcessRunnee for Anagrams {
    type Init = Vec<String>;
    type Args = String;
    type Out = Vec<String>;

    fn new(words: Vec<String>) -> mp::Result<Anagrams> {
        Ok(Anagrams { words })
    }

    fn call(&mut self, word: String) -> mp::Result<Vec<String>> {
        let known = self.words.iter().filter(|known| sorted(known) == sorted(&word));
        Ok(known.cloned().collect())
    }
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

#[mp::main]
fn main() -> mp::Result<()> {
    let words = ["listen", "silent", "below", "elbow"].map(str::to_owned).to_vec();
    let anagrams = mp::ProcessRunner::start::<Anagrams>(words)?;
    println!("bowel: {}", anagrams.call("bowel".to_owned())?.join(", "));
    anagrams.restart("tinsel".to_owned())?;
    println!("asked for tinsel");
    println!("tinsel: {}", anagrams.rejoin()?.join(", "));
    Ok(anagrams.join()?)
}
