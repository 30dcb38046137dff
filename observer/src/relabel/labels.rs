//! A set of labels whose memory is used again.

/// Labels sorted by name, each name once, none with an empty value.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelSet {
    labels: Vec<(String, String)>,
    /// Labels that were taken out, for their memory.
    spare: Vec<(String, String)>,
}

impl LabelSet {
    /// Takes all labels out.
    pub(crate) fn clear(&mut self) {
        self.spare.append(&mut self.labels);
    }

    /// The value of a label; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.position(name).map_or("", |at| &self.labels[at].1)
    }

    /// Gives a label its value. An empty value takes the label out, as Prometheus has it.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.position(name) {
            Ok(at) => {
                let old = &mut self.labels[at].1;
                old.clear();
                old.push_str(value);
            }
            Err(at) => {
                let mut label = self.spare.pop().unwrap_or_default();
                label.0.clear();
                label.0.push_str(name);
                label.1.clear();
                label.1.push_str(value);
                self.labels.insert(at, label);
            }
        }
    }

    /// Takes a label out.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            let label = self.labels.remove(at);
            self.spare.push(label);
        }
    }

    /// Takes the labels out whose name is not wanted.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        let mut at = 0;
        while let Some((name, _)) = self.labels.get(at) {
            if wanted(name) {
                at += 1;
            } else {
                let label = self.labels.remove(at);
                self.spare.push(label);
            }
        }
    }

    /// Names and values, sorted by name.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.labels.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for LabelSet {
    /// Of two labels with one name the later counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(labels: I) -> Self {
        let mut set = Self::default();
        for (name, value) in labels {
            set.set(name, value);
        }
        set
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
    }
}

impl Eq for LabelSet {}
