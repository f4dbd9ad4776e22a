//! An image in a memory block of a server: several processes paint parts of it, and no bytes go through the server.

const WIDTH: usize = 64;
const HEIGHT: usize = 16;

/// Where the blocks of a program are known by name.
#[derive(Default)]
struct Gallery {
    images: std::collections::BTreeMap<String, mp::MemoryBlockProxy>,
}

#[mp::managed]
impl Gallery {
    pub fn new() -> Self {
        Gallery::default()
    }

    pub fn image(&mut self, name: &str) -> mp::Result<mp::MemoryBlockProxy> {
        if let Some(image) = self.images.get(name) {
            return Ok(image.clone());
        }
        let image = mp::managed_memoryblock(mp::MemoryBlock::new(WIDTH * HEIGHT)?);
        self.images.insert(name.to_owned(), image.clone());
        Ok(image)
    }
}

fn paint(gallery: GalleryProxy, rows: std::ops::Range<usize>) -> mp::Result<()> {
    let image = gallery.image("circle")?;
    for y in rows {
        let mut row = [b' '; WIDTH];
        for (x, pixel) in row.iter_mut().enumerate() {
            let (dx, dy) = (x as f64 / 2.0 - 16.0, y as f64 - 7.5);
            let distance = dx.hypot(dy);
            if (5.0..7.5).contains(&distance) {
                *pixel = b'#';
            }
        }
        image.write_at(y * WIDTH, &row)?;
    }
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let server = mp::ServerProcess::start()?;
    let gallery = server.create(Gallery::args())?;
    let painters = [0..HEIGHT / 2, HEIGHT / 2..HEIGHT]
        .map(|rows| mp::Process::start(paint, (gallery.clone(), rows)))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    for painter in painters {
        painter.into_result()?;
    }
    let image = gallery.image("circle")?;
    let mut row = [0; WIDTH];
    for y in 0..HEIGHT {
        image.read_at(y * WIDTH, &mut row)?;
        println!("{}", String::from_utf8_lossy(&row).trim_end());
    }
    Ok(())
}
