//! An image in shared memory: each process renders its rows in place, nothing is copied between them.

use std::io::Write;

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const PROCESSES: usize = 2;
const DEEPEST: u8 = 255;

/// How fast the point leaves the circle of radius two, in the Mandelbrot set.
fn depth(x: usize, y: usize) -> u8 {
    let scale = |n: usize, of: usize, from: f64, to: f64| from + (to - from) * n as f64 / of as f64;
    let (cx, cy) = (scale(x, WIDTH, -2.2, 1.0), scale(y, HEIGHT, -1.2, 1.2));
    let (mut zx, mut zy) = (0.0_f64, 0.0_f64);
    for n in 0..DEEPEST {
        if zx * zx + zy * zy > 4.0 {
            return n;
        }
        (zx, zy) = (zx * zx - zy * zy + cx, 2.0 * zx * zy + cy);
    }
    DEEPEST
}

fn render(image: mp::SharedMemory, first_row: usize) -> mp::Result<usize> {
    let mut row = [0; WIDTH];
    let rows = (first_row..HEIGHT).step_by(PROCESSES);
    for y in rows.clone() {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = depth(x, y);
        }
        image.write_at(y * WIDTH, &row)?;
    }
    Ok(rows.count())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let image = mp::SharedMemory::create(WIDTH * HEIGHT)?;
    let processes = (0..PROCESSES)
        .map(|first_row| mp::Process::start(render, (image.clone(), first_row)))
        .collect::<Result<Vec<_>, _>>()?;
    for p in processes {
        println!("a process rendered {} rows", p.into_result()?);
    }

    let mut pixels = vec![0; image.size()];
    image.read_at(0, &mut pixels)?;
    let inside = pixels.iter().filter(|depth| **depth == DEEPEST).count();
    println!("{inside} of {} pixels are inside the set", pixels.len());
    let mut file = tempfile::tempfile()?;
    writeln!(file, "P5 {WIDTH} {HEIGHT} 255")?;
    file.write_all(&pixels)?;
    Ok(())
}
