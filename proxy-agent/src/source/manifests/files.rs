//! The files of a directory.

use std::{fs, io, path::Path};

use super::File;

const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads the directory's manifests in the order of their names. Hidden files are left out: editors keep their drafts there.
///
/// # Errors
/// If the directory cannot be listed. A file that cannot be read is an answer.
pub(super) fn read(dir: &Path) -> io::Result<Vec<File>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name());
    }
    names.sort_unstable();
    let paths = names
        .iter()
        .map(Path::new)
        .filter(|name| is_manifest(name))
        .map(|name| dir.join(name));
    Ok(paths.filter_map(|path| read_file(&path)).collect())
}

fn is_manifest(name: &Path) -> bool {
    let is_hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
    let extension = name.extension().and_then(|extension| extension.to_str());
    !is_hidden && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

/// `None` for what is no file, or not any more.
fn read_file(path: &Path) -> Option<File> {
    if path.is_dir() {
        return None;
    }
    let content = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        content => content.map_err(|error| format!("cannot be read: {error}")),
    };
    Some(File {
        name: path.display().to_string(),
        content,
    })
}
