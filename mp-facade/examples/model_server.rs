//! A model that is loaded once and asked by several processes; its weights are shared memory, which no call moves.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// A model that says how much of each class is in an input.
struct Model {
    weights: mp::Managed<mp::MemoryBlock>,
    inputs: usize,
    classes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    class: usize,
    score: f32,
}

#[mp::managed]
impl Model {
    pub fn new(inputs: usize, classes: usize) -> mp::Result<Self> {
        // In place of a file that takes its time.
        let weights = mp::MemoryBlock::new(inputs * classes * 4)?;
        for class in 0..classes {
            for input in 0..inputs {
                let weight = if input % classes == class { 1.0_f32 } else { -0.1 };
                weights.write_at((class * inputs + input) * 4, &weight.to_le_bytes())?;
            }
        }
        Ok(Model { weights: mp::managed_memoryblock(weights), inputs, classes })
    }

    pub fn classify(&self, input: Vec<f32>) -> mp::Result<Verdict> {
        mp::ensure!(input.len() == self.inputs, "{} inputs, not {}", self.inputs, input.len());
        let mut row = vec![0; self.inputs * 4];
        let mut best = Verdict { class: 0, score: f32::MIN };
        for class in 0..self.classes {
            self.weights.read_at(class * self.inputs * 4, &mut row)?;
            let weights = row.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let score = weights.zip(&input).map(|(weight, x)| weight * x).sum();
            if score > best.score {
                best = Verdict { class, score };
            }
        }
        Ok(best)
    }

    /// The weights themselves: the caller reads them without a copy.
    pub fn weights(&self) -> mp::Managed<mp::MemoryBlock> {
        self.weights.clone()
    }
}

fn ask(model: ModelProxy, class: usize) -> mp::Result<(usize, u128)> {
    let input = (0..1000).map(|n| if n % 10 == class { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
    let begin = Instant::now();
    let mut found = 0;
    for _ in 0..100 {
        found = model.classify(input.clone())?.class;
    }
    Ok((found, begin.elapsed().as_micros() / 100))
}

#[mp::main]
fn main() -> mp::Result<()> {
    let server = mp::ServerProcess::builder().name("model").start()?;
    let model = server.create(Model::args(1000, 10))?;
    let processes = [3, 7]
        .map(|class| mp::Process::start(ask, (model.clone(), class)))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        let name = process.name().to_owned();
        let (class, micros) = process.into_result()?;
        println!("{name}: class {class}, {micros} us for each question");
    }
    let weights = model.weights()?;
    println!("{} bytes of weights are shared with this process", weights.size());
    if let Err(error) = model.classify(vec![1.0]) {
        println!("{error}");
    }
    Ok(())
}
