//! A layer of an image: an archive that says nothing of who packed it, where and when.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::layout::digest;

const FOLDER_MODE: u32 = 0o755;

/// A file of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File<'a> {
    /// Where it lies, without a slash before it.
    pub(crate) path: &'a str,
    pub(crate) mode: u32,
    pub(crate) content: &'a [u8],
}

/// A layer.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The archive as it is stored.
    pub(crate) compressed: Vec<u8>,
    /// The digest of the archive as it is before.
    pub(crate) diff_id: String,
}

/// Packs files, and the folders that they lie in, in the order of their names: all are root's, and as old as time.
pub(crate) fn layer(files: &[File<'_>]) -> anyhow::Result<Layer> {
    let mut entries: BTreeMap<&Path, Option<File<'_>>> = BTreeMap::new();
    for file in files {
        let path = Path::new(file.path);
        entries.extend(
            path.ancestors()
                .skip(1)
                .filter(|it| !it.as_os_str().is_empty())
                .map(|it| (it, None)),
        );
        entries.insert(path, Some(*file));
    }
    let mut archive = Builder::new(Vec::new());
    for (path, file) in entries {
        let mut header = Header::new_ustar();
        header.set_path(path)?;
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let content = if let Some(file) = file {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(file.mode);
            file.content
        } else {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(FOLDER_MODE);
            &[]
        };
        header.set_size(u64::try_from(content.len())?);
        header.set_cksum();
        archive.append(&header, content)?;
    }
    let archive = archive.into_inner()?;
    // Neither a name nor a time nor a system is in the header.
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&archive)?;
    Ok(Layer {
        compressed: gzip.finish()?,
        diff_id: digest(&archive),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    const FILES: [File<'static>; 2] = [
        File {
            path: "etc/ssl/roots",
            mode: 0o644,
            content: b"roots",
        },
        File {
            path: "bin/operator",
            mode: 0o755,
            content: b"operator",
        },
    ];

    #[test]
    fn a_layer_says_nothing_of_who_packed_it_and_when() {
        let packed = layer(&FILES).unwrap();
        let mut archive = Vec::new();
        GzDecoder::new(packed.compressed.as_slice())
            .read_to_end(&mut archive)
            .unwrap();
        assert_eq!(digest(&archive), packed.diff_id);
        let mut paths = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!(owner, (0, 0, 0));
            assert_eq!(header.username().unwrap(), Some(""));
            paths.push((entry.path().unwrap().display().to_string(), header.mode().unwrap()));
        }
        let expected = [
            ("bin", 0o755),
            ("bin/operator", 0o755),
            ("etc", 0o755),
            ("etc/ssl", 0o755),
            ("etc/ssl/roots", 0o644),
        ];
        assert_eq!(paths, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn the_order_in_which_files_are_named_is_no_part_of_a_layer() {
        let [one, other] = FILES;
        assert_eq!(
            layer(&[one, other]).unwrap().compressed,
            layer(&[other, one]).unwrap().compressed
        );
    }
}
